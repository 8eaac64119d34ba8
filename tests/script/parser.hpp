#pragma once

// packetdrill's language, the subset that README.md lists. Never throws, never recurses, reads
// nothing beyond `text`: anything may be given to it.

#include <string_view>

#include "tests/script/ast.hpp"

namespace sluice::script {

/// True and `script`, or false and `error`, whose line counts from 1.
bool parse(std::string_view text, Script& script, ScriptError& error);

}  // namespace sluice::script
