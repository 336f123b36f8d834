/* SPDX-License-Identifier: MIT */
/*
 * Locking down the server and its clones.
 *
 * Theory of operation. libseccomp turns each table of sandbox_rules.c into a program. One filter is
 * made of several:
 *
 *	1. the clones' program. Where it would kill, it goes on to 2 instead.
 *	2. was the call made at the gate? If so: 5.
 *	3. with disks: was it made in the nursery? If so: the nursery's program.
 *	4. is it io_uring_setup, and are clones to be given rings (rings.h)? Tell of it.
 *	   With further threads: the threads' program. Else: kill.
 *	5. the server's program.
 *
 * Calls that the clones' table allows without looking at arguments are decided without looking at
 * the address either, so the kernel caches the verdict and runs no filter at all for them.
 */
#include "forkserver/sandbox/sandbox.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "forkserver/base/gate.h"
#include "forkserver/base/private.h"
#include "forkserver/sandbox/sandbox_rules.h"
#include "vmm/base/cleanup.h"
#include "vmm/base/util.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || defined(FORKVM_COVERAGE)
#define SANDBOX_AVAILABLE false
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANDBOX_AVAILABLE false
#endif
#endif
#ifndef SANDBOX_AVAILABLE
#define SANDBOX_AVAILABLE true
#endif

/* A filter being put together. */
struct program {
	struct sock_filter code[BPF_MAXINSNS];
	size_t len;
};

bool sandbox_available(void)
{
	return SANDBOX_AVAILABLE;
}

static int add_rules(scmp_filter_ctx filter, const struct sandbox_rules *rules)
{
	for (size_t i = 0; i < rules->count; i++) {
		const struct sandbox_rule *rule = &rules->rules[i];
		uint32_t action = rule->refuse_errno ? SCMP_ACT_ERRNO((uint32_t)rule->refuse_errno)
						     : SCMP_ACT_ALLOW;
		int rc = seccomp_rule_add_array(filter, action, rule->nr, rule->arg_count,
						rule->args);

		if (rc < 0)
			return rc;
	}
	return 0;
}

/* Tables that are carried out as one. */
#define TABLES_MAX 6

struct tables {
	const struct sandbox_rules *list[TABLES_MAX];
	size_t count;
};

/* A libseccomp filter that kills for what is not in the tables. NULL: no memory. */
static scmp_filter_ctx make_filter(const struct tables *tables)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_KILL_PROCESS);

	if (!filter)
		return NULL;
	/* A clone's commonest call goes first: the programs are sequences of comparisons. */
	if (seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS) < 0 ||
	    seccomp_syscall_priority(filter, SCMP_SYS(ioctl), 255) < 0) {
		seccomp_release(filter);
		return NULL;
	}
	for (size_t i = 0; i < tables->count; i++) {
		if (add_rules(filter, tables->list[i]) < 0) {
			seccomp_release(filter);
			return NULL;
		}
	}
	return filter;
}

/* Append what the tables become, which decides everything. -errno. */
static int append_tables(struct program *program, const struct tables *tables)
{
	_cleanup_close_ int fd = memfd_create("seccomp", MFD_CLOEXEC);
	size_t room = (BPF_MAXINSNS - program->len) * sizeof(program->code[0]);
	scmp_filter_ctx filter;
	ssize_t size;
	int rc;

	if (fd < 0)
		return -errno;
	filter = make_filter(tables);
	if (!filter)
		return -ENOMEM;
	rc = seccomp_export_bpf(filter, fd);
	seccomp_release(filter);
	if (rc < 0)
		return rc;
	size = lseek(fd, 0, SEEK_CUR);
	if (size < 0 || (size_t)size > room)
		return -E2BIG;
	if (pread(fd, program->code + program->len, (size_t)size, 0) != size)
		return -EIO;
	program->len += (size_t)size / sizeof(program->code[0]);
	return 0;
}

static int append_table(struct program *program, const struct sandbox_rules *rules)
{
	return append_tables(program, &(struct tables){.list = {rules}, .count = 1});
}

/* Where the program so far kills, let it go on with what will be appended. */
static void open_end(struct program *program)
{
	for (size_t i = 0; i < program->len; i++) {
		struct sock_filter *at = &program->code[i];

		if (at->code == (BPF_RET | BPF_K) && at->k == SECCOMP_RET_KILL_PROCESS)
			*at = (struct sock_filter)BPF_STMT(BPF_JMP | BPF_JA,
							   (uint32_t)(program->len - i - 1));
	}
}

/*
 * For calls made at address, jump over what elsewhere holds; other calls fall into it. elsewhere is
 * appended too, and must decide everything.
 */
static int append_gate(struct program *program, uint64_t address, const struct program *elsewhere)
{
	const uint32_t low = offsetof(struct seccomp_data, instruction_pointer);
	const struct sock_filter check[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, low),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)address, 0, 3),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, low + 4),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)(address >> 32), 0, 1),
		BPF_STMT(BPF_JMP | BPF_JA, (uint32_t)elsewhere->len),
	};

	if (program->len + ARRAY_SIZE(check) + elsewhere->len > BPF_MAXINSNS)
		return -E2BIG;
	memcpy(program->code + program->len, check, sizeof(check));
	program->len += ARRAY_SIZE(check);
	memcpy(program->code + program->len, elsewhere->code,
	       elsewhere->len * sizeof(elsewhere->code[0]));
	program->len += elsewhere->len;
	return 0;
}

static int load(const struct sock_filter *code, size_t len, unsigned int flags)
{
	struct sock_fprog fprog = {
		.len = (unsigned short)len,
		.filter = (struct sock_filter *)(uintptr_t)code,
	};

	long rc = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &fprog);

	return rc < 0 ? -errno : (int)rc;
}

/* Have the filter's owner told of calls by which a clone asks for a ring. */
static void append_telling(struct program *program)
{
	const struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_io_uring_setup, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
	};

	memcpy(program->code + program->len, code, sizeof(code));
	program->len += ARRAY_SIZE(code);
}

/* For calls that no clone may make from just anywhere and that were not made at the gate. */
static int append_elsewhere(struct program *program, struct program *spare,
			    const struct sandbox_needs *needs)
{
	bool nursery = needs->disks || needs->resets;
	struct program *last = nursery ? spare : program;
	int rc = 0;

	if (needs->rings)
		append_telling(last);
	if (needs->threads)
		rc = append_table(last, &sandbox_thread_rules);
	else
		last->code[last->len++] =
			(struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS);
	if (rc < 0 || !nursery)
		return rc;
	rc = append_gate(program, nursery_address(), spare);
	if (rc < 0)
		return rc;
	return append_table(program,
			    needs->disks ? &sandbox_nursery_rules : &sandbox_reset_nursery_rules);
}

static int load_parts(struct program parts[3], const struct sandbox_needs *needs)
{
	struct tables tables = {.list = {&sandbox_clone_rules}, .count = 1};
	struct program *whole = &parts[0];
	int rc;

	if (needs->lines)
		tables.list[tables.count++] = &sandbox_line_rules;
	if (needs->disks)
		tables.list[tables.count++] = &sandbox_disk_rules;
	if (needs->files)
		tables.list[tables.count++] = &sandbox_file_rules;
	if (needs->spares)
		tables.list[tables.count++] = &sandbox_spare_rules;
	if (needs->resets)
		tables.list[tables.count++] = &sandbox_reset_rules;
	rc = append_tables(whole, &tables);
	if (rc < 0)
		return rc;
	open_end(whole);
	rc = append_elsewhere(&parts[1], &parts[2], needs);
	if (rc == 0)
		rc = append_gate(whole, gate_address(), &parts[1]);
	if (rc == 0)
		rc = append_table(whole, &sandbox_server_rules);
	return rc < 0 ? rc
		      : load(whole->code, whole->len,
			     needs->rings ? SECCOMP_FILTER_FLAG_NEW_LISTENER : 0);
}

/* Returns what tells of calls, if that is needed, else 0. -errno. */
static int load_filter(const struct sandbox_needs *needs)
{
	/* Not on the stack, whose pages every clone would inherit. */
	struct program *parts = private_map(3 * sizeof(*parts));
	int rc;

	if (!parts)
		return -ENOMEM;
	rc = load_parts(parts, needs);
	private_unmap(parts, 3 * sizeof(*parts));
	return rc;
}

static int drop_capabilities(void)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = {{0}};

	return syscall(SYS_capset, &header, none) < 0 ? -errno : 0;
}

/* Some outer filter may tell somebody already (EBUSY), or the kernel may not know how (EINVAL). */
static int load_best(const struct sandbox_needs *needs)
{
	struct sandbox_needs fewer = *needs;
	int rc = load_filter(needs);

	if (rc >= 0 || !needs->rings)
		return rc;
	fewer.rings = false;
	return load_filter(&fewer);
}

int sandbox_enter(const struct sandbox_needs *needs, int *ret_rings_fd, struct error *error)
{
	const struct rlimit no_core = {0, 0};
	int rc;

	*ret_rings_fd = -1;
	if (!sandbox_available())
		return 0;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return error_set_errno(error, errno, "cannot give up new privileges");
	/* A core would hold guests' memory. */
	if (setrlimit(RLIMIT_CORE, &no_core) < 0)
		return error_set_errno(error, errno, "cannot switch core dumps off");
	rc = drop_capabilities();
	if (rc < 0)
		return error_set_errno(error, -rc, "cannot drop capabilities");
	rc = load_best(needs);
	if (rc < 0)
		return error_set_errno(error, -rc,
				       "cannot load the system call filter (the kernel needs "
				       "CONFIG_SECCOMP_FILTER)");
	if (rc > 0)
		*ret_rings_fd = rc;
	return 0;
}

int sandbox_seal_threads(struct error *error)
{
	const struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clone, 4, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_seccomp, 3, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_tgkill, 0, 3),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[0])),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)getpid(), 1, 0),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	int rc;

	if (!sandbox_available())
		return 0;
	/* A positive result is the thread that could not be sealed. */
	rc = load(code, ARRAY_SIZE(code), SECCOMP_FILTER_FLAG_TSYNC);
	if (rc != 0)
		return error_set_errno(error, rc < 0 ? -rc : EBUSY, "cannot seal the threads");
	return 0;
}

int sandbox_enter_idle(void)
{
	struct program program = {.len = 0};
	int rc;

	if (!sandbox_available())
		return 0;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return -errno;
	rc = append_table(&program, &sandbox_idle_rules);
	return rc < 0 ? rc : load(program.code, program.len, 0);
}
