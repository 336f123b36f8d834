/* SPDX-License-Identifier: MIT */
/*
 * clock: neither TSC nor kvmclock runs backwards across a clone, and both move on in it.
 *
 * Request: anything, ignored.
 * Answer:  ok tsc_forward_ns=N kvmclock_forward_ns=N tsc_khz=N wall_clock_ns=N
 *          FAIL reason=WORD before=N after=N
 *
 * "Forward" is the time that passed, by that clock, from the last reading before TEMPLATE (for a
 * later request: before PARK) to the first one after it.
 *
 * kvmclock is read by the protocol of the kernel's Documentation/virt/kvm/x86/msr.rst: the host
 * writes a structure whose version is odd while it does, time is system_time plus the scaled TSC
 * since tsc_timestamp.
 */
#include "guest-stubs/runtime/stub.h"

STUB_NEEDS(0);

#define MSR_KVM_SYSTEM_TIME_NEW 0x4b564d01
#define MSR_ENABLE		1u
#define VERSION_TRIES		1000000u
#define LOOPS			2000u
#define LOOPS_TO_MOVE		10000000u

struct pvclock {
	uint32_t version;
	uint32_t pad0;
	uint64_t tsc_timestamp;
	uint64_t system_time_ns;
	uint32_t tsc_to_system_mul;
	int8_t tsc_shift;
	uint8_t flags;
	uint8_t pad1[2];
};
_Static_assert(sizeof(struct pvclock) == 32, "layout is part of the KVM ABI");

struct sample {
	uint64_t tsc;
	uint64_t kvmclock_ns;
};

/* Readings that the two clocks are held against, and where each was first seen to fail. */
struct verdict {
	const char *reason;
	uint64_t before;
	uint64_t after;
};

static _Alignas(64) volatile struct pvclock pvclock;
static struct sample before, after;

static uint64_t scale(uint64_t cycles, uint32_t mul, int8_t shift)
{
	if (shift < 0)
		cycles >>= -shift;
	else
		cycles <<= shift;
	return (uint64_t)((unsigned __int128)cycles * mul >> 32);
}

/* False when the host never completes an update. */
static bool sample(struct sample *ret)
{
	for (uint32_t i = 0; i < VERSION_TRIES; i++) {
		uint32_t version = pvclock.version;
		uint64_t tsc = stub_rdtsc(); /* fenced: not before version, not after the rest */
		uint64_t delta = tsc - pvclock.tsc_timestamp;

		ret->tsc = tsc;
		ret->kvmclock_ns = pvclock.system_time_ns +
				   scale(delta, pvclock.tsc_to_system_mul, pvclock.tsc_shift);
		__asm__ volatile("lfence" : : : "memory");
		if (!(version & 1) && version == pvclock.version && version != 0)
			return true;
		stub_pause();
	}
	return false;
}

/* kHz for which scale() gives nanoseconds. */
static uint64_t tsc_khz(void)
{
	uint64_t khz = (1000000ull << 32) / pvclock.tsc_to_system_mul;

	return pvclock.tsc_shift < 0 ? khz << -pvclock.tsc_shift : khz >> pvclock.tsc_shift;
}

void stub_setup(void)
{
	if (!ring0_wrmsr(MSR_KVM_SYSTEM_TIME_NEW, (uintptr_t)&pvclock | MSR_ENABLE))
		stub_fail("clock: the host refuses kvmclock");
	if (!sample(&before) || pvclock.tsc_to_system_mul == 0)
		stub_fail("clock: the host does not fill the kvmclock page");
}

void stub_template(void)
{
	bool valid = sample(&before);

	stub_doorbell(FORKVM_PORT_TEMPLATE, 0);
	if (!sample(&after) || !valid)
		after = (struct sample){0, 0};
}

static void check(struct verdict *verdict, const char *reason, bool good, uint64_t earlier,
		  uint64_t later)
{
	if (!good && verdict->reason == NULL)
		*verdict = (struct verdict){reason, earlier, later};
}

static void check_order(struct verdict *verdict, const struct sample *earlier,
			const struct sample *later)
{
	/* By the sign of the difference: a clock set back may have gone below zero. */
	check(verdict, "tsc-backwards", (int64_t)(later->tsc - earlier->tsc) >= 0, earlier->tsc,
	      later->tsc);
	check(verdict, "kvmclock-backwards",
	      (int64_t)(later->kvmclock_ns - earlier->kvmclock_ns) >= 0, earlier->kvmclock_ns,
	      later->kvmclock_ns);
}

/* From "after" on: always forward, and after a bounded number of readings further than it. */
static void check_running(struct verdict *verdict, struct sample *ret_last)
{
	struct sample last = after, now;

	for (uint32_t i = 0; i < LOOPS_TO_MOVE; i++) {
		if (!sample(&now)) {
			check(verdict, "kvmclock-version", false, pvclock.version, 0);
			break;
		}
		check_order(verdict, &last, &now);
		last = now;
		if (verdict->reason != NULL ||
		    (i >= LOOPS && now.tsc > after.tsc && now.kvmclock_ns > after.kvmclock_ns))
			break;
	}
	check(verdict, "tsc-stands", last.tsc > after.tsc, after.tsc, last.tsc);
	check(verdict, "kvmclock-stands", last.kvmclock_ns > after.kvmclock_ns, after.kvmclock_ns,
	      last.kvmclock_ns);
	*ret_last = last;
}

size_t stub_serve(const char *request, size_t request_len, char *response, size_t capacity)
{
	struct text answer = text_on(response, capacity);
	struct verdict verdict = {NULL, 0, 0};
	struct sample last = {0, 0};

	(void)request;
	(void)request_len;
	if (stub_mailbox.request_seq > 1)
		check(&verdict, "kvmclock-version", sample(&after), pvclock.version, 0);
	check_order(&verdict, &before, &after);
	check_running(&verdict, &last);

	if (verdict.reason != NULL)
		text_printf(&answer, "FAIL reason=%s before=%lu after=%lu\n", verdict.reason,
			    verdict.before, verdict.after);
	else
		text_printf(
			&answer,
			"ok tsc_forward_ns=%lu kvmclock_forward_ns=%lu tsc_khz=%lu "
			"wall_clock_ns=%lu\n",
			scale(after.tsc - before.tsc, pvclock.tsc_to_system_mul, pvclock.tsc_shift),
			after.kvmclock_ns - before.kvmclock_ns, tsc_khz(),
			stub_mailbox.identity.wall_clock_ns);
	before = last;
	return answer.len;
}
