/* SPDX-License-Identifier: MIT */
/*
 * vCPU threads: made, released, kicked, joined.
 */
#include <errno.h>
#include <linux/kvm.h>
#include <signal.h>
#include <sys/mman.h>

#include "vmm/base/util.h"
#include "vmm/machine/internal.h"

/* The thread sanitizer keeps much of its own on each stack. */
#ifdef __SANITIZE_THREAD__
#define VCPU_STACK_BYTES (2 * MIB)
#else
#define VCPU_STACK_BYTES (128 * KIB)
#endif

static void *thread_main(void *argument)
{
	struct vcpu *vcpu = argument;
	struct machine *machine = vcpu->machine;

	pthread_mutex_lock(&machine->lock);
	while (machine->progress == PROGRESS_WAITING && !atomic_load(&machine->stop))
		pthread_cond_wait(&machine->changed, &machine->lock);
	pthread_mutex_unlock(&machine->lock);
	vcpu_loop(vcpu);
	return NULL;
}

/*
 * A stack of our own, with a page that faults below it. The C library would keep its stacks after
 * the threads' ends, and every fork would copy those mappings.
 */
static int make_stack(struct vcpu *vcpu)
{
	void *stack = mmap(NULL, VCPU_STACK_BYTES, PROT_NONE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);

	if (stack == MAP_FAILED)
		return -errno;
	if (mprotect((char *)stack + PAGE_BYTES, VCPU_STACK_BYTES - PAGE_BYTES,
		     PROT_READ | PROT_WRITE) < 0) {
		int rc = -errno;

		munmap(stack, VCPU_STACK_BYTES);
		return rc;
	}
	vcpu->stack = stack;
	return 0;
}

static void free_stack(struct vcpu *vcpu)
{
	if (vcpu->stack)
		munmap(vcpu->stack, VCPU_STACK_BYTES);
	vcpu->stack = NULL;
}

/* The threads take no signal but the kick: the rest is for the owner's thread. */
static int create_thread(struct vcpu *vcpu)
{
	sigset_t all, before;
	pthread_attr_t attr;
	int rc = make_stack(vcpu);

	if (rc < 0)
		return rc;
	sigfillset(&all);
	sigdelset(&all, MACHINE_KICK_SIGNAL);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	pthread_attr_init(&attr);
	pthread_attr_setstack(&attr, (char *)vcpu->stack + PAGE_BYTES,
			      VCPU_STACK_BYTES - PAGE_BYTES);
	rc = pthread_create(&vcpu->thread, &attr, thread_main, vcpu);
	pthread_attr_destroy(&attr);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	vcpu->has_thread = rc == 0;
	if (rc)
		free_stack(vcpu);
	return -rc;
}

int threads_start(struct machine *machine, unsigned int first, struct error *error)
{
	for (unsigned int i = first; i < machine->frozen.vcpu_count; i++) {
		int rc = create_thread(&machine->vcpus[i]);

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

void threads_kick(struct machine *machine)
{
	atomic_store(&machine->stop, true);
	for (unsigned int i = 0; i < machine->frozen.vcpu_count; i++) {
		struct vcpu *vcpu = &machine->vcpus[i];

		/* Looked at by KVM_RUN on its way in, so a kick just before it is not lost. */
		if (vcpu->kvm.run)
			__atomic_store_n(&vcpu->kvm.run->immediate_exit, 1, __ATOMIC_SEQ_CST);
		if (vcpu->has_thread)
			pthread_kill(vcpu->thread, MACHINE_KICK_SIGNAL);
	}
	pthread_cond_broadcast(&machine->changed);
}

void threads_join(struct machine *machine)
{
	pthread_mutex_lock(&machine->lock);
	threads_kick(machine);
	pthread_mutex_unlock(&machine->lock);
	for (unsigned int i = 0; i < machine->frozen.vcpu_count; i++) {
		if (!machine->vcpus[i].has_thread)
			continue;
		pthread_join(machine->vcpus[i].thread, NULL);
		free_stack(&machine->vcpus[i]);
		machine->vcpus[i].has_thread = false;
	}
	atomic_store(&machine->stop, false);
}
