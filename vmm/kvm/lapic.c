/* SPDX-License-Identifier: MIT */
/*
 * The local APIC's timer across a freeze: see lapic.h.
 */
#include "vmm/kvm/lapic.h"

#include <string.h>

#define APIC_LVTT	   0x320
#define APIC_TMICT	   0x380
#define APIC_TMCCT	   0x390
#define LVTT_MODE_SHIFT	   17
#define LVTT_MODE_MASK	   3u
#define LVTT_MODE_DEADLINE 2u

static uint32_t get(const struct kvm_lapic_state *lapic, unsigned int offset)
{
	uint32_t value;

	memcpy(&value, lapic->regs + offset, sizeof(value));
	return value;
}

static void set(struct kvm_lapic_state *lapic, unsigned int offset, uint32_t value)
{
	memcpy(lapic->regs + offset, &value, sizeof(value));
}

void lapic_timer_rearm(struct kvm_lapic_state *lapic, __u64 *deadline, uint64_t guest_tsc)
{
	uint32_t mode = get(lapic, APIC_LVTT) >> LVTT_MODE_SHIFT & LVTT_MODE_MASK;

	if (mode == LVTT_MODE_DEADLINE) {
		if (*deadline == 0)
			*deadline = guest_tsc;
	} else if (get(lapic, APIC_TMICT) && !get(lapic, APIC_TMCCT)) {
		set(lapic, APIC_TMCCT, 1);
	}
}
