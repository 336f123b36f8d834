/* SPDX-License-Identifier: MIT */
/* How QEMU is called, and its process. See qemu.h. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench/common/clock.h"
#include "bench/peer/qemu.h"
#include "bench/peer/serial_service.h"
#include "guest-stubs/qemu/qemu_abi.h"

#define QMP_FD	      10 /* what QEMU's ends are called there; the state is QEMU_STATE_FD */
#define SERIAL_FD     11
#define TEXT(number)  TEXT_(number)
#define TEXT_(number) #number
#define LOW_FDS	      32 /* ours are above, so that none is overwritten on the way */
#define STACK_SIZE    (64u << 10)
#define ARGUMENTS_MAX 40

/* The same file under a number that QEMU's ends do not take; fd is closed. -errno. */
static int move_up(int fd)
{
	int moved, saved;

	if (fd < 0)
		return -errno;
	moved = fcntl(fd, F_DUPFD_CLOEXEC, LOW_FDS);
	saved = errno;
	close(fd);
	return moved < 0 ? -saved : moved;
}

/* Our end and QEMU's of one connection. */
static int connect_one(int *ret_near, int *ret_far)
{
	int pair[2], far;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	far = move_up(pair[1]);
	if (far < 0) {
		close(pair[0]);
		return far;
	}
	*ret_near = pair[0];
	*ret_far = far;
	return 0;
}

int qemu_connect(struct qemu_vm *ret, int far[2])
{
	int rc;

	*ret = QEMU_NO_VM;
	rc = connect_one(&ret->qmp, &far[0]);
	if (rc < 0)
		return rc;
	rc = connect_one(&ret->serial, &far[1]);
	if (rc < 0) {
		close(ret->qmp);
		close(far[0]);
		*ret = QEMU_NO_VM;
	}
	return rc;
}

/* Asynchronous page faults and a PMU cost time to set up; and some hosts refuse the MSR of the
 * last one, which no stub reads. */
#define CPU	 "host,pmu=off,kvm-asyncpf=off,kvm-asyncpf-int=off"
#define STUB_CPU CPU ",arch-capabilities=off"

static const char request_file[] =
	"name=" FORKVM_QEMU_REQUEST ",file=/proc/self/fd/" TEXT(QEMU_REQUEST_FD);
static const char qmp_channel[] = "socket,id=qmp,fd=" TEXT(QMP_FD);
static const char serial_channel[] = "socket,id=serial,fd=" TEXT(SERIAL_FD);

/* QEMU's arguments; texts are those that have to be put together. */
struct call {
	const char *list[ARGUMENTS_MAX];
	char machine[256], mem[32], cpus[32], ram[256], append[4096];
};

static void add(struct call *call, size_t *count, const char *const *arguments)
{
	for (; *arguments; arguments++)
		call->list[(*count)++] = *arguments;
	call->list[*count] = NULL;
}

/* The guest's own part of a template's arguments. */
static void add_guest(const struct qemu *qemu, struct call *call, size_t *count)
{
	const struct storm_options *options = qemu->options;

	add(call, count,
	    (const char *const[]){"-no-reboot", "-kernel", qemu->image, "-append", call->append,
				  NULL});
	if (qemu->stub) {
		snprintf(call->append, sizeof(call->append), "populate=%llu",
			 (unsigned long long)options->populate_mib);
		return;
	}
	snprintf(call->append, sizeof(call->append),
		 "%s console=ttyS0 quiet panic=-1 rdinit=" PEER_INIT,
		 options->cmdline ? options->cmdline : "");
	add(call, count, (const char *const[]){"-initrd", qemu->initrd, NULL});
}

static void make_call(const struct qemu *qemu, bool clone, struct call *ret)
{
	const struct storm_options *options = qemu->options;
	const unsigned long long mem = options->mem_mib;
	const char *const common[] = {qemu->program,
				      "-nodefaults",
				      "-no-user-config",
				      "-display",
				      "none",
				      "-accel",
				      "kvm",
				      "-cpu",
				      qemu->stub ? STUB_CPU : CPU,
				      "-M",
				      ret->machine,
				      "-m",
				      ret->mem,
				      "-smp",
				      ret->cpus,
				      "-object",
				      ret->ram,
				      "-chardev",
				      qmp_channel,
				      "-mon",
				      clone && qemu->stub ? "chardev=qmp,mode=readline"
							  : "chardev=qmp,mode=control",
				      "-chardev",
				      serial_channel,
				      "-serial",
				      "chardev:serial",
				      NULL};
	size_t count = 0;

	snprintf(ret->machine, sizeof(ret->machine), "%s,memory-backend=ram", qemu->machine);
	snprintf(ret->mem, sizeof(ret->mem), "%lluM", mem);
	snprintf(ret->cpus, sizeof(ret->cpus), "%u", options->cpus);
	snprintf(ret->ram, sizeof(ret->ram),
		 "memory-backend-file,id=ram,size=%lluM,mem-path=%s,share=%s", mem, qemu->ram,
		 clone ? "off" : "on");
	add(ret, &count, common);
	if (qemu->stub)
		add(ret, &count, (const char *const[]){"-fw_cfg", request_file, NULL});
	/* Neither kernel nor firmware is of use to a clone: all of it is in its RAM. */
	if (clone)
		add(ret, &count, (const char *const[]){"-incoming", "defer", NULL});
	else
		add_guest(qemu, ret, &count);
}

/* What the child needs; it shares our memory until it has become QEMU. Files are -1 when not used.
 */
struct child {
	const struct qemu *qemu;
	struct call call;
	const int *far;
	int state, request, log;
	pid_t parent;
};

static int become_qemu(void *context)
{
	const struct child *child = context;
	const int files[][2] = {{child->log, STDERR_FILENO},   {child->log, STDOUT_FILENO},
				{child->far[0], QMP_FD},       {child->far[1], SERIAL_FD},
				{child->state, QEMU_STATE_FD}, {child->request, QEMU_REQUEST_FD}};

	/* A clone_storm that is killed must leave no QEMU behind. */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != child->parent)
		_exit(1);
	setpgid(0, 0); /* an interrupt from the terminal is for us */
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
		if (files[i][0] >= 0 && dup2(files[i][0], files[i][1]) < 0)
			_exit(127);
	execv(child->qemu->program, (char *const *)(uintptr_t)child->call.list);
	dprintf(STDERR_FILENO, "%s: %s\n", child->qemu->program, strerror(errno));
	_exit(127);
}

/* 0 or -errno. */
static int open_files(struct child *child, uint64_t id)
{
	const struct qemu *qemu = child->qemu;

	child->log = move_up(open(qemu->log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
	if (child->log < 0)
		return child->log;
	if (id) {
		child->state = move_up(open(qemu->state, O_RDONLY | O_CLOEXEC));
		if (child->state < 0)
			return child->state;
	}
	if (qemu->stub) {
		int request = qemu_guest_request_file(qemu, id);

		if (request < 0)
			return request;
		child->request = move_up(request);
		if (child->request < 0)
			return child->request;
	}
	return 0;
}

static void close_files(const struct child *child)
{
	const int files[] = {child->log, child->state, child->request};

	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
		if (files[i] >= 0)
			close(files[i]);
}

int qemu_start(const struct qemu *qemu, const int far[2], uint64_t id, struct qemu_vm *vm)
{
	static char stack[STACK_SIZE] __attribute__((aligned(16)));
	struct child child = {
		.qemu = qemu,
		.far = far,
		.state = -1,
		.request = -1,
		.log = -1,
		.parent = getpid(),
	};
	int rc = open_files(&child, id);

	if (rc == 0) {
		make_call(qemu, id != 0, &child.call);
		vm->start_ns = now_ns();
		/* Without a copy of our page tables, which would count as QEMU's time. */
		vm->pid = clone(become_qemu, stack + sizeof(stack),
				CLONE_VM | CLONE_VFORK | CLONE_PIDFD | SIGCHLD, &child, &vm->pidfd);
		rc = vm->pid < 0 ? -errno : 0;
	}
	close_files(&child);
	return rc;
}

void qemu_kill(const struct qemu_vm *vm)
{
	pidfd_send_signal(vm->pidfd, SIGKILL, NULL, 0);
}

void qemu_end(struct qemu_vm *vm)
{
	if (vm->pid > 0) {
		qemu_kill(vm);
		while (waitpid(vm->pid, NULL, 0) < 0 && errno == EINTR)
			;
	}
	for (size_t i = 0; i < 3; i++) {
		int fd = (const int[]){vm->pidfd, vm->qmp, vm->serial}[i];

		if (fd >= 0)
			close(fd);
	}
	*vm = QEMU_NO_VM;
}

void qemu_last_words(const struct qemu *qemu, char *text, size_t size)
{
	FILE *log = fopen(qemu->log, "re");
	char line[256];

	snprintf(text, size, "it said nothing");
	while (log && fgets(line, sizeof(line), log)) {
		line[strcspn(line, "\n")] = '\0';
		snprintf(text, size, "%s", line);
	}
	if (log)
		fclose(log);
}
