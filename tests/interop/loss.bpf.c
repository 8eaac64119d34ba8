// Loses LOST_PER_MILLE of what the kernel sends to a device (tc clsact, egress). TC_ACT_STOLEN: the
// kernel's TCP believes that the segment went out. An nftables or tc drop on egress would be reported
// to it, and it would simply send again.
//   clang -O2 -target bpf -DLOST_PER_MILLE=20u -I/usr/include/x86_64-linux-gnu -c loss.bpf.c -o loss.bpf.o
//   tc filter add dev DEVICE egress bpf direct-action object-file loss.bpf.o section classifier
#include <linux/bpf.h>
#include <linux/pkt_cls.h>

#define SECTION(name) __attribute__((section(name), used))
#define LOST (LOST_PER_MILLE * 4294967u) /* of 2^32 */

static unsigned int (*get_prandom_u32)(void) = (void*)BPF_FUNC_get_prandom_u32;

SECTION("classifier") int lose(struct __sk_buff* packet) {
  (void)packet;
  return get_prandom_u32() < LOST ? TC_ACT_STOLEN : TC_ACT_OK;
}

char copying[] SECTION("license") = "BSD";
