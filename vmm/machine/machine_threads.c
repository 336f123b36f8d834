/* SPDX-License-Identifier: MIT */
/*
 * vCPU threads: made, released, kicked, joined.
 */
#include <errno.h>
#include <linux/kvm.h>
#include <signal.h>
#include <sys/ioctl.h>

#include "vmm/base/util.h"
#include "vmm/machine/internal.h"

void threads_wait(struct machine *machine)
{
	pthread_mutex_lock(&machine->lock);
	while (machine->progress == PROGRESS_WAITING && !atomic_load(&machine->stop))
		pthread_cond_wait(&machine->changed, &machine->lock);
	pthread_mutex_unlock(&machine->lock);
}

static void *thread_main(void *argument)
{
	struct vcpu *vcpu = argument;

	threads_wait(vcpu->machine);
	vcpu_loop(vcpu);
	return NULL;
}

int threads_start(struct machine *machine, unsigned int first, struct error *error)
{
	for (unsigned int i = first; i < machine->frozen.vcpu_count; i++) {
		int rc = thread_start(&machine->vcpus[i].thread, thread_main, &machine->vcpus[i],
				      MACHINE_KICK_SIGNAL);

		if (rc < 0)
			return error_set_errno(error, -rc, "thread for vCPU %u", i);
	}
	return 0;
}

void threads_release(struct machine *machine)
{
	pthread_mutex_lock(&machine->lock);
	if (machine->progress == PROGRESS_WAITING)
		machine->progress = PROGRESS_RUNNING;
	pthread_cond_broadcast(&machine->changed);
	pthread_mutex_unlock(&machine->lock);
}

static void kick(struct vcpu *vcpu)
{
	/* Looked at by KVM_RUN on its way in, so a kick just before it is not lost. */
	if (vcpu->kvm.run)
		__atomic_store_n(&vcpu->kvm.run->immediate_exit, 1, __ATOMIC_SEQ_CST);
	if (vcpu->thread.exists)
		pthread_kill(vcpu->thread.id, MACHINE_KICK_SIGNAL);
}

void threads_kick(struct machine *machine)
{
	atomic_store(&machine->stop, true);
	for (unsigned int i = 0; i < machine->frozen.vcpu_count; i++)
		kick(&machine->vcpus[i]);
	pthread_cond_broadcast(&machine->changed);
}

void threads_pause_others(struct machine *machine, const struct vcpu *one)
{
	for (unsigned int i = 0; i < machine->frozen.vcpu_count; i++)
		if (&machine->vcpus[i] != one)
			kick(&machine->vcpus[i]);
}

/*
 * A guest's watchdog may look at the clock before it has run again for as long as it wants to see:
 * kvmclock's "guest stopped" flag keeps it from reporting a lockup (api.rst, KVM_KVMCLOCK_CTRL). A
 * vCPU that does not use kvmclock refuses, and needs none.
 */
void threads_tell_of_pause(struct machine *machine)
{
	for (unsigned int i = 0; machine->host->has_kvmclock_ctrl && i < machine->frozen.vcpu_count;
	     i++)
		(void)ioctl(machine->vcpus[i].kvm.fd, KVM_KVMCLOCK_CTRL);
}

void threads_join(struct machine *machine)
{
	pthread_mutex_lock(&machine->lock);
	threads_kick(machine);
	pthread_mutex_unlock(&machine->lock);
	for (unsigned int i = 0; i < machine->frozen.vcpu_count; i++)
		thread_join(&machine->vcpus[i].thread);
	devices_join(&machine->devices);
	atomic_store(&machine->stop, false);
}
