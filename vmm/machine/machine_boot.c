/* SPDX-License-Identifier: MIT */
/*
 * From nothing to the template point.
 */
#include <errno.h>
#include <signal.h>
#include <string.h>

#include "vmm/base/util.h"
#include "vmm/boot/longmode.h"
#include "vmm/machine/internal.h"
#include "vmm/machine/memslots.h"

#define CANCEL_LOOK_NS (NS_PER_SEC / 10)

static void on_kick(int signal)
{
	(void)signal; /* being interrupted is all it is for */
}

static int take_kick_signal(struct error *error)
{
	struct sigaction action = {.sa_handler = on_kick}; /* no SA_RESTART: KVM_RUN must return */

	if (sigaction(MACHINE_KICK_SIGNAL, &action, NULL) < 0)
		return error_set_errno(error, errno, "sigaction");
	return 0;
}

/* The first instruction of a vCPU. With LAPICs the secondary ones wait for the first's signal. */
static int enter(struct machine *machine, const struct kvm_vcpu *vcpu, struct error *error)
{
	if (machine->is_linux)
		return linux_enter(vcpu, &machine->entry, error);
	if (vcpu->index > 0 && machine->with_irqchip)
		return 0;
	return longmode_enter(vcpu, machine->host, &machine->image, machine->with_cpuid, error);
}

static int make_vm(struct machine *machine, struct error *error)
{
	struct extents all = {0};
	int rc = machine_open_vm(machine, &machine->vm, error);

	if (rc == 0)
		rc = extents_all(machine->ram, &all, error);
	if (rc == 0)
		rc = memslots_register(&machine->vm, machine->ram, &all, error);
	extents_done(&all);
	for (unsigned int i = 0; rc == 0 && i < machine->frozen.vcpu_count; i++) {
		struct kvm_vcpu *vcpu = &machine->vcpus[i].kvm;

		rc = machine_open_vcpu(machine, &machine->vm, vcpu, i, error);
		if (rc == 0)
			rc = enter(machine, vcpu, error);
	}
	if (rc == 0)
		rc = devices_bind(&machine->devices, &machine->vm, error);
	return rc;
}

static struct timespec timespec_of(uint64_t ns)
{
	return (struct timespec){.tv_sec = (time_t)(ns / NS_PER_SEC),
				 .tv_nsec = (long)(ns % NS_PER_SEC)};
}

/* Wait for the template point or the end. */
static int wait_for_progress(struct machine *machine, uint64_t timeout_ns,
			     const volatile int *cancel, struct error *error)
{
	uint64_t deadline = timeout_ns ? now_ns() + timeout_ns : UINT64_MAX;
	int rc = 0;

	pthread_mutex_lock(&machine->lock);
	while (rc == 0 && machine->progress == PROGRESS_RUNNING) {
		uint64_t now = now_ns();
		struct timespec until = timespec_of(min_u64(now + CANCEL_LOOK_NS, deadline));

		if (cancel && *cancel)
			rc = error_set(error, EINTR, "interrupted");
		else if (now >= deadline)
			rc = error_set(error, ETIMEDOUT,
				       "the guest did not reach its template point within %llu ms",
				       (unsigned long long)(timeout_ns / 1000000));
		else
			pthread_cond_timedwait(&machine->changed, &machine->lock, &until);
	}
	pthread_mutex_unlock(&machine->lock);
	return rc;
}

static int ended_early(const struct machine *machine, struct machine_end *ret_end,
		       struct error *error)
{
	const struct machine_end *end = &machine->end;

	if (ret_end)
		*ret_end = *end;
	if (end->reason == MACHINE_END_DONE)
		return error_set(error, ECANCELED,
				 "the guest ended with status %#x before its template point",
				 end->status);
	return error_set(error, ECANCELED, "before its template point: %s: %s",
			 machine_end_name(end->reason), end->error.text);
}

int machine_start(struct machine *machine, const struct machine_sink *sink, struct error *error)
{
	int rc;

	if (!machine->loaded || machine->vm.fd >= 0 || machine->is_frozen)
		return error_set(error, EINVAL, "a machine is started once, after it was loaded");
	machine->stub.sink = sink;
	rc = take_kick_signal(error);
	if (rc == 0)
		rc = make_vm(machine, error);
	if (rc == 0)
		rc = threads_start(machine, 0, error);
	if (rc == 0)
		rc = devices_start(&machine->devices, error);
	if (rc < 0) {
		threads_join(machine);
		return rc;
	}
	devices_attach(&machine->devices);
	threads_release(machine);
	return 0;
}

enum machine_standing machine_get_standing(struct machine *machine, struct machine_end *ret_end)
{
	enum machine_standing standing = MACHINE_RUNNING;

	pthread_mutex_lock(&machine->lock);
	if (machine->progress == PROGRESS_ENDED)
		standing = MACHINE_ENDED;
	else if (machine->progress == PROGRESS_TEMPLATE)
		standing = MACHINE_AT_TEMPLATE;
	if (standing == MACHINE_ENDED && ret_end)
		*ret_end = machine->end;
	pthread_mutex_unlock(&machine->lock);
	return standing;
}

static void halt(struct machine *machine)
{
	threads_join(machine);
	machine->stub.sink = NULL;
}

int machine_stop(struct machine *machine, struct machine_end *ret_end, struct error *error)
{
	if (machine->vm.fd < 0 || machine->is_frozen)
		return error_set(error, EINVAL, "only a machine that was started can be stopped");
	pthread_mutex_lock(&machine->lock);
	if (machine->progress == PROGRESS_RUNNING)
		machine->progress = PROGRESS_TEMPLATE;
	pthread_mutex_unlock(&machine->lock);
	halt(machine);
	/* It may have ended in its very last instruction. */
	return machine->progress == PROGRESS_ENDED ? ended_early(machine, ret_end, error) : 0;
}

int machine_boot(struct machine *machine, const struct machine_sink *sink, uint64_t timeout_ns,
		 const volatile int *cancel, struct machine_end *ret_end, struct error *error)
{
	int rc = machine_start(machine, sink, error);

	if (rc < 0)
		return rc;
	rc = wait_for_progress(machine, timeout_ns, cancel, error);
	if (rc == 0)
		return machine_stop(machine, ret_end, error);
	halt(machine);
	return rc;
}
