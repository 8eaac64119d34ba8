#include "tcp/recovery/rate_sample.hpp"

namespace sluice::tcp {

void finish_rate_sample(SendSide& side, AckOutcome& out) {
  SendRecord& record = side.record;
  if (record.app_limited_until != 0 &&
      static_cast<std::int32_t>(record.delivered - record.app_limited_until) > 0)
    record.app_limited_until = 0;
  RateSample& rate = out.rate;
  if (rate.interval_us == 0) return;
  rate.delivered = record.delivered - rate.prior_delivered;
  rate.lost = record.lost_total - rate.lost;
  if (rate.interval_us < side.block.min_rtt_us) rate.interval_us = 0;
  if (rate.interval_us != 0) side.block.delivery_rate = pack_float16(rate.rate());
}

}  // namespace sluice::tcp
