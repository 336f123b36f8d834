/* SPDX-License-Identifier: MIT */
/*
 * Probe: KVM_RUN with immediate_exit completes an instruction that is half done, and runs nothing.
 *
 * When a guest rings a doorbell, KVM exits in the middle of the OUT: the registers still show the
 * instruction itself (or, on some hosts, already the next one), and the rest is done when the vCPU
 * runs next. A template that was captured there would ring again in every clone, or never. One more
 * KVM_RUN with immediate_exit set finishes the OUT and returns EINTR before the next instruction.
 */
#include "guest.h"
#include "probe.h"

#include <errno.h>

#define PORT 0x5b00

static const uint8_t code[] = {
	0x66, 0xba, 0x00, 0x5b,	   /* mov $0x5b00, %dx */
	0xb8, 1,    0,	  0,	0, /* mov $1, %eax     */
	0xef,			   /* out %eax, (%dx)  */
	0xb8, 2,    0,	  0,	0, /* mov $2, %eax     */
	0xef,			   /* out %eax, (%dx)  */
};
#define AFTER_OUT 10ul

static void check_out(const struct guest *guest, int reason, uint32_t value)
{
	const uint8_t *data = (const uint8_t *)guest->run + guest->run->io.data_offset;

	if (!probe_check(reason == KVM_EXIT_IO, "exit %d for OUT %u", reason, value))
		return;
	probe_check(guest->run->io.port == PORT && guest->run->io.size == 4, "port %x, size %d",
		    guest->run->io.port, guest->run->io.size);
	probe_check(data[0] == value, "value %d", data[0]);
}

int main(void)
{
	struct guest guest;
	uint64_t in_out;

	guest_init(&guest, code, sizeof(code));
	check_out(&guest, guest_run(&guest), 1);
	in_out = guest_rip(&guest) - GUEST_CODE;

	guest.run->immediate_exit = 1;
	probe_check(guest_run(&guest) == -EINTR, "KVM_RUN with immediate_exit");
	guest.run->immediate_exit = 0;
	probe_check(guest_rip(&guest) - GUEST_CODE == AFTER_OUT, "rip at +%lu",
		    (unsigned long)(guest_rip(&guest) - GUEST_CODE));
	probe_say("in the OUT rip is at +%lu, completed at +%lu of %lu", (unsigned long)in_out,
		  (unsigned long)(guest_rip(&guest) - GUEST_CODE), AFTER_OUT);
	check_out(&guest, guest_run(&guest), 2);
	guest_done(&guest);
	return probe_result();
}
