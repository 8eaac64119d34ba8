#pragma once

// Everything an application needs.

#include "base/address.hpp"
#include "base/handle.hpp"
#include "base/result.hpp"
#include "base/time.hpp"
#include "errors.hpp"
#include "listener.hpp"
#include "message.hpp"
#include "runtime.hpp"
#include "rx_data.hpp"
#include "stream.hpp"
#include "worker.hpp"
