/* SPDX-License-Identifier: MIT */
/*
 * Probe: RAM without a memslot can be registered when the guest first touches it.
 *
 * Data: the access exits as MMIO with its address. The host does it by hand, registers the memslot
 * and goes on; the next access does not exit. Instructions: the fetch cannot be emulated. With
 * KVM_CAP_EXIT_ON_EMULATION_FAILURE that is KVM_EXIT_INTERNAL_ERROR in every ring (without it ring
 * 3 would get #UD), the registers still show the jump's target, and KVM_RUN after registering the
 * memslot fetches again and succeeds.
 */
#define _GNU_SOURCE
#include "guest.h"
#include "probe.h"

#include <string.h>
#include <sys/ioctl.h>

#define FETCHED (GUEST_UNBACKED + (4ul << 20))
#define VALUE	0x1122334455667788ul

static const uint8_t code[] = {
	0x66, 0xba, 0x00, 0x5b,				/* mov $0x5b00, %dx           */
	0x48, 0xbb, 0,	  0,	0,    0x02, 0, 0, 0, 0, /* mov $GUEST_UNBACKED, %rbx  */
	0x48, 0x8b, 0x03,				/* mov (%rbx), %rax           */
	0xef,						/* out %eax, (%dx)            */
	0x48, 0x89, 0x43, 0x08,				/* mov %rax, 8(%rbx)          */
	0x48, 0x8b, 0x43, 0x08,				/* mov 8(%rbx), %rax          */
	0xef,						/* out %eax, (%dx)            */
	0x48, 0xbb, 0,	  0,	0x40, 0x02, 0, 0, 0, 0, /* mov $FETCHED, %rbx         */
	0xff, 0xe3,					/* jmp *%rbx                  */
};
static const uint8_t far_code[] = {
	0xb8, 0x99, 0, 0, 0, /* mov $0x99, %eax  */
	0xef,		     /* out %eax, (%dx)  */
};

static void check_out(struct guest *guest, uint32_t value)
{
	int reason = guest_run(guest);
	uint32_t seen = 0;

	if (!probe_check(reason == KVM_EXIT_IO, "exit %d at %#lx, OUT %x expected", reason,
			 (unsigned long)guest_rip(guest), value))
		return;
	memcpy(&seen, (const uint8_t *)guest->run + guest->run->io.data_offset, sizeof(seen));
	probe_check(seen == value, "%x, not %x", seen, value);
}

static void enable_failure_exit(const struct guest *guest)
{
	struct kvm_enable_cap cap = {.cap = KVM_CAP_EXIT_ON_EMULATION_FAILURE, .args = {1}};

	if (ioctl(guest->kvm, KVM_CHECK_EXTENSION, cap.cap) <= 0)
		probe_skip("no KVM_CAP_EXIT_ON_EMULATION_FAILURE (before Linux 5.14)");
	probe_need(ioctl(guest->vm, KVM_ENABLE_CAP, &cap) == 0, "KVM_ENABLE_CAP");
}

int main(void)
{
	const uint64_t value = VALUE;
	struct guest guest;
	int reason;

	guest_init(&guest, code, sizeof(code));
	enable_failure_exit(&guest);
	memcpy(guest.ram + GUEST_UNBACKED, &value, sizeof(value));
	memcpy(guest.ram + FETCHED, far_code, sizeof(far_code));

	reason = guest_run(&guest);
	probe_need(reason == KVM_EXIT_MMIO, "exit %d for a read of unbacked memory", reason);
	probe_check(guest.run->mmio.phys_addr == GUEST_UNBACKED && !guest.run->mmio.is_write &&
			    guest.run->mmio.len == 8,
		    "MMIO at %#llx, %u bytes", guest.run->mmio.phys_addr, guest.run->mmio.len);
	memcpy(guest.run->mmio.data, guest.ram + GUEST_UNBACKED, 8);
	guest_add_slot(&guest, GUEST_UNBACKED, PROBE_MIB);
	check_out(&guest, (uint32_t)VALUE);
	check_out(&guest, (uint32_t)VALUE); /* a write and a read without a further MMIO exit */
	probe_check(memcmp(guest.ram + GUEST_UNBACKED + 8, &value, 8) == 0, "the write arrived");

	reason = guest_run(&guest);
	probe_check(reason == KVM_EXIT_INTERNAL_ERROR, "exit %d for a fetch", reason);
	probe_check(guest_rip(&guest) == FETCHED, "rip %#lx", (unsigned long)guest_rip(&guest));
	guest_add_slot(&guest, FETCHED, PROBE_MIB);
	check_out(&guest, 0x99);
	guest_done(&guest);
	if (probe_result() == 0)
		probe_say("data exits as MMIO, a fetch as emulation failure; both go on after");
	return probe_result();
}
