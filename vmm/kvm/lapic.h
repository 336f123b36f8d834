/* SPDX-License-Identifier: MIT */
/*
 * The local APIC's timer across a freeze.
 *
 * Theory of operation. An interrupt of the timer that has become due but was not yet taken over by
 * the LAPIC is in none of the state that KVM hands out: a one-shot count then reads 0, or the
 * deadline 0, as if the timer had never been armed. A guest whose next wake-up that was would sleep
 * for ever. So a timer that reads as expired is armed again, to expire at once. At worst the guest
 * sees one interrupt more than there was, which every kernel must bear from this timer.
 */
#ifndef FORKVM_VMM_KVM_LAPIC_H
#define FORKVM_VMM_KVM_LAPIC_H

#include <linux/kvm.h>
#include <stdint.h>

/*
 * See above. *deadline is MSR IA32_TSC_DEADLINE as captured; guest_tsc the guest's TSC at that
 * moment. Intel SDM volume 3, 11.5.4.
 */
void lapic_timer_rearm(struct kvm_lapic_state *lapic, __u64 *deadline, uint64_t guest_tsc);

#endif
