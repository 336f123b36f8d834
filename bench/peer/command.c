/* SPDX-License-Identifier: MIT */
/* Which QEMU, how it is called, and its process. See qemu.h. */
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

#include "bench/peer/qemu.h"
#include "bench/peer/serial_service.h"

#define QMP_FD	      10 /* what QEMU's ends are called there; the state is QEMU_STATE_FD */
#define SERIAL_FD     11
#define TEXT(number)  TEXT_(number)
#define TEXT_(number) #number
#define LOW_FDS	      32 /* ours are above, so that none is overwritten on the way */
#define STACK_SIZE    (64u << 10)
#define ARGUMENTS_MAX 40

/* Nothing that the guest does not need; ACPI, since without it the kernel looks for PIC and PIT. */
#define MICROVM	      "microvm,acpi=on,pit=off,pic=off,rtc=off,auto-kernel-cmdline=off"
#define Q35	      "q35,usb=off,smbus=off,sata=off,vmport=off"

/* The path of a program in PATH. */
static bool find_in_path(const char *name, char ret[PATH_MAX])
{
	const char *at = getenv("PATH");

	for (at = at ? at : "/usr/bin:/bin"; *at; at += *at == ':') {
		int length = (int)strcspn(at, ":");

		snprintf(ret, PATH_MAX, "%.*s/%s", length, at, name);
		if (access(ret, X_OK) == 0)
			return true;
		at += length;
	}
	return false;
}

/* Does this QEMU have the machine microvm? */
static bool has_microvm(const char *program)
{
	char command[PATH_MAX + 64], line[256];
	bool found = false;
	FILE *output;

	if (strchr(program, '\''))
		return false;
	snprintf(command, sizeof(command), "exec '%s' -M help 2>/dev/null", program);
	output = popen(command, "re"); /* NOLINT(cert-env33-c): a path from the user's own PATH */
	while (output && fgets(line, sizeof(line), output))
		found = found || strncmp(line, "microvm ", 8) == 0;
	if (output)
		pclose(output);
	return found;
}

int qemu_find(struct qemu *qemu)
{
	const char *wanted = qemu->options->qemu;

	if (wanted && strchr(wanted, '/')) {
		snprintf(qemu->program, sizeof(qemu->program), "%s", wanted);
		if (access(wanted, X_OK) < 0) {
			fprintf(stderr, "clone_storm: --qemu %s: %s\n", wanted, strerror(errno));
			return -1;
		}
	} else if (wanted ? !find_in_path(wanted, qemu->program)
			  : !find_in_path("qemu-system-x86_64-microvm", qemu->program) &&
				    !find_in_path("qemu-system-x86_64", qemu->program)) {
		fprintf(stderr,
			"clone_storm: --peer qemu: no program %s in PATH (Debian's package "
			"qemu-system-x86 has it)\n",
			wanted ? wanted : "qemu-system-x86_64-microvm or qemu-system-x86_64");
		return -1;
	}
	snprintf(qemu->machine, sizeof(qemu->machine), "%s",
		 has_microvm(qemu->program) ? MICROVM : Q35);
	return 0;
}

/* Our end and QEMU's of one connection. */
static int connect_one(int *ret_near, int *ret_far)
{
	int pair[2], far;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	far = fcntl(pair[1], F_DUPFD_CLOEXEC, LOW_FDS);
	close(pair[1]);
	if (far < 0) {
		int saved = errno;

		close(pair[0]);
		return -saved;
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
				      "host,pmu=off,kvm-asyncpf=off,kvm-asyncpf-int=off",
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
				      "chardev=qmp,mode=control",
				      "-chardev",
				      serial_channel,
				      "-serial",
				      "chardev:serial",
				      NULL};
	const char *const template[] = {"-kernel",    options->kernel, "-initrd",   qemu->initrd,
					"-no-reboot", "-append",       ret->append, NULL};
	/* Neither kernel nor firmware is of use to a clone: all of it is in its RAM. */
	const char *const incoming[] = {"-incoming", "defer", NULL};
	size_t count = 0;

	snprintf(ret->machine, sizeof(ret->machine), "%s,memory-backend=ram", qemu->machine);
	snprintf(ret->mem, sizeof(ret->mem), "%lluM", mem);
	snprintf(ret->cpus, sizeof(ret->cpus), "%u", options->cpus);
	snprintf(ret->ram, sizeof(ret->ram),
		 "memory-backend-file,id=ram,size=%lluM,mem-path=%s,share=%s", mem, qemu->ram,
		 clone ? "off" : "on");
	snprintf(ret->append, sizeof(ret->append),
		 "%s console=ttyS0 quiet panic=-1 rdinit=" PEER_INIT,
		 options->cmdline ? options->cmdline : "");
	add(ret, &count, common);
	add(ret, &count, clone ? incoming : template);
}

/* What the child needs; it shares our memory until it has become QEMU. */
struct child {
	const struct qemu *qemu;
	const struct call *call;
	const int *far;
	int state_fd, log_fd;
	pid_t parent;
};

static int become_qemu(void *context)
{
	const struct child *child = context;

	/* A clone_storm that is killed must leave no QEMU behind. */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != child->parent)
		_exit(1);
	setpgid(0, 0); /* an interrupt from the terminal is for us */
	if (dup2(child->log_fd, STDERR_FILENO) < 0 || dup2(child->log_fd, STDOUT_FILENO) < 0 ||
	    dup2(child->far[0], QMP_FD) < 0 || dup2(child->far[1], SERIAL_FD) < 0 ||
	    (child->state_fd >= 0 && dup2(child->state_fd, QEMU_STATE_FD) < 0))
		_exit(127);
	execv(child->qemu->program, (char *const *)(uintptr_t)child->call->list);
	dprintf(STDERR_FILENO, "%s: %s\n", child->qemu->program, strerror(errno));
	_exit(127);
}

int qemu_start(const struct qemu *qemu, const int far[2], int state_fd, struct qemu_vm *vm)
{
	static char stack[STACK_SIZE] __attribute__((aligned(16)));
	struct call call;
	struct child child = {
		.qemu = qemu, .call = &call, .far = far, .state_fd = state_fd, .parent = getpid()};
	int saved;

	make_call(qemu, state_fd >= 0, &call);
	child.log_fd = open(qemu->log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	if (child.log_fd < 0)
		return -errno;
	/* Without a copy of our page tables, which would count as QEMU's time. */
	vm->pid = clone(become_qemu, stack + sizeof(stack),
			CLONE_VM | CLONE_VFORK | CLONE_PIDFD | SIGCHLD, &child, &vm->pidfd);
	saved = errno;
	close(child.log_fd);
	return vm->pid < 0 ? -saved : 0;
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
