/* SPDX-License-Identifier: MIT */
/*
 * The tables of allowed system calls. What is in none of them ends the process with SIGSYS.
 *
 * Two properties hold the gate up (gate.h), so no rule may break them: no memory becomes executable
 * (mmap, mprotect), and no mapping is moved (mremap).
 */
#include "forkserver/sandbox/sandbox_rules.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/sched.h>
#include <linux/sockios.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>

#include "forkserver/launch/launch.h"
#include "forkserver/storage/overlays.h"
#include "vmm/base/util.h"
#include "vmm/machine/machine.h"

#define CALL(name) .nr = SCMP_SYS(name)

/* Argument number arg, masked with mask, must equal value. */
#define WHERE(arg, mask, value) \
	.arg_count = 1, .args = {SCMP_CMP(arg, SCMP_CMP_MASKED_EQ, mask, value)}

/* All of KVM's ioctls have this type (include/uapi/linux/kvm.h, KVMIO). */
#define IOCTL_TYPE_MASK	   0xff00
#define IOCTL_TYPE_KVM	   0xae00

/* And those of a filter that tells of calls this one (include/uapi/linux/seccomp.h). */
#define IOCTL_TYPE_SECCOMP 0x2100

#define ANY_BITS	   0xffffffffffffffff
#define INT_BITS	   0xffffffff

/* What makes a new task a thread of the same process. */
#define THREAD_FLAGS	   (CLONE_VM | CLONE_SIGHAND | CLONE_THREAD)

static const struct sandbox_rule clone_rules[] = {
	/* running a VM */
	{CALL(ioctl), WHERE(1, IOCTL_TYPE_MASK, IOCTL_TYPE_KVM),
	 .reason = "KVM, all of it and nothing else"},
	{CALL(mmap), WHERE(2, PROT_EXEC, 0), .reason = "vCPU run areas, heap; never executable"},
	{CALL(munmap), .reason = "undoes mmap"},
	{CALL(mprotect), WHERE(2, PROT_EXEC, 0), .reason = "guard pages; never executable"},
	{CALL(madvise), .reason = "gives heap and guest pages back"},
	{CALL(brk), .reason = "heap"},
	{CALL(mremap), .refuse_errno = ENOMEM, .reason = "realloc copies instead: see above"},
	{CALL(futex), .reason = "locks between vCPU threads"},
	/* talking to the client and the server, by descriptors that are open already */
	{CALL(read), .reason = "descriptors at hand"},
	{CALL(write), .reason = "answers, console, log"},
	{CALL(writev), .reason = "a batch's answers, behind their headers; devices' requests"},
	{CALL(sendto), WHERE(4, ANY_BITS, 0), .reason = "answers, reports; to no address"},
	{CALL(recvfrom), .reason = "a session's next request"},
	{CALL(poll), .reason = "a client's descriptor that is not ready"},
	{CALL(sched_yield), .reason = "lets its client go first"},
	{CALL(close), .reason = "descriptors at hand"},
	{CALL(close_range), .reason = "drops what is not a clone's own"},
	{CALL(dup3), .reason = "puts a clone's own descriptors in place"},
	{CALL(fcntl), WHERE(1, INT_BITS, F_GETFL), .reason = "can its console be read, too?"},
	/* identity and signals */
	{CALL(getrandom), .reason = "generation id and seed; the entropy device"},
	{CALL(clock_gettime), .reason = "where the vDSO has to ask the kernel"},
	{CALL(prctl), WHERE(0, INT_BITS, PR_SET_PDEATHSIG), .reason = "dies with the server"},
	{CALL(getppid), .reason = "has the server died already?"},
	{CALL(rt_sigprocmask), .reason = "signals while threads are made"},
	{CALL(rt_sigreturn), .reason = "return from a signal handler"},
	{CALL(restart_syscall), .reason = "the kernel resumes poll and futex by it"},
	{CALL(exit_group), .reason = "the end"},
};

static const struct sandbox_rule thread_rules[] = {
	{CALL(clone), WHERE(0, THREAD_FLAGS, THREAD_FLAGS),
	 .reason = "threads of vCPUs and devices; no processes"},
	{CALL(clone3), .refuse_errno = ENOSYS,
	 .reason = "its flags cannot be seen: glibc falls "
		   "back to clone"},
	{CALL(set_robust_list), .reason = "a new thread registers its locks"},
	{CALL(rseq), .reason = "a new thread registers its restartable sequences"},
	{CALL(exit), .reason = "the end of a thread"},
	{CALL(gettid), .reason = "pthread_kill looks at it"},
	{CALL(getpid), .reason = "pthread_kill looks at it"},
	{CALL(tgkill), WHERE(2, INT_BITS, MACHINE_KICK_SIGNAL), .reason = "kicks vCPU threads"},
	{CALL(rt_sigaction), .reason = "resets the server's handlers"},
	{CALL(sched_setscheduler), .arg_count = 2,
	 .args = {SCMP_CMP(0, SCMP_CMP_MASKED_EQ, INT_BITS, 0),
		  SCMP_CMP(1, SCMP_CMP_MASKED_EQ, INT_BITS, SCHED_BATCH)},
	 .reason = "the devices' thread lets vCPUs go on; of itself, and nothing but that"},
	{CALL(eventfd2), .reason = "devices' doorbells and interrupts: KVM_IOEVENTFD, KVM_IRQFD"},
	{CALL(readv), .reason = "devices' requests are in pieces; descriptors at hand"},
	{CALL(seccomp), .reason = "sandbox_seal_threads; it can only take more away"},
};

static const struct sandbox_rule line_rules[] = {
	{CALL(eventfd2), .reason = "devices' interrupts: KVM_IRQFD"},
};

static const struct sandbox_rule spare_rules[] = {
	{CALL(recvmsg), .reason = "a spare's claim, which brings its client's descriptors"},
	{CALL(sched_setaffinity), WHERE(0, INT_BITS, 0),
	 .reason =
		 "making and ending happen aside; of itself, and no other CPUs than the server's"},
};

static const struct sandbox_rule disk_rules[] = {
	{CALL(io_uring_enter), .reason = "disks' requests, by rings that are restricted to them"},
	{CALL(preadv), .reason = "disks' requests, where a ring is no use"},
	{CALL(pwritev), .reason = "as preadv"},
	{CALL(fallocate), .reason = "discarded blocks go back to the host"},
	{CALL(fdatasync), .reason = "a durable disk's flush"},
	{CALL(memfd_create),
	 .reason = "an overlay in memory, made by the first write; never executable"},
	{CALL(ftruncate), .reason = "its size"},
};

/*
 * What exists cannot be opened so, by whatever path: it makes a new file without a name, which can
 * be given none later.
 */
static const struct sandbox_rule file_rules[] = {
	{CALL(openat), .arg_count = 2,
	 .args = {SCMP_CMP(0, SCMP_CMP_MASKED_EQ, INT_BITS, FD_OVERLAYS),
		  SCMP_CMP(2, SCMP_CMP_MASKED_EQ, INT_BITS, OVERLAYS_OPEN_UNNAMED)},
	 .reason = "an overlay in a folder, made by the first write"},
};

static const struct sandbox_rule nursery_rules[] = {
	{CALL(io_uring_setup),
	 .reason = "a disk's ring, of which the next call restricts what it does"},
	{CALL(io_uring_register), .reason = "restrictions, then nothing more: they forbid it"},
	{CALL(openat), .reason = "overlays in a folder, and what is to have O_DIRECT anew"},
	{CALL(fcntl), WHERE(1, INT_BITS, F_OFD_SETLK),
	 .reason = "a durable overlay is its clone's"},
	{CALL(fstat), .reason = "what kind of file a client gave"},
	{CALL(fstatfs), .reason = "whether it is in memory"},
	{CALL(statx), .reason = "what O_DIRECT asks for"},
	{CALL(ioctl), WHERE(1, INT_BITS, BLKGETSIZE64), .reason = "the size of a block device"},
};

static const struct sandbox_rule reset_rules[] = {
	{CALL(pread64), .reason = "the template's RAM; what KVM has counted"},
	{CALL(ioctl), WHERE(1, INT_BITS, MACHINE_RESET_IOCTL),
	 .reason = "which pages it has written"},
};

static const struct sandbox_rule reset_nursery_rules[] = {
	{CALL(openat), WHERE(2, INT_BITS, O_RDONLY | O_CLOEXEC),
	 .reason = "/proc/self/pagemap, for which pages it has written"},
};

static const struct sandbox_rule server_rules[] = {
	{CALL(clone3), .reason = "makes clones"},
	{CALL(epoll_wait), .reason = "waits for all there is to do"},
	{CALL(epoll_ctl), .reason = "adds connections and pidfds"},
	{CALL(accept4), .reason = "clients"},
	{CALL(recvmsg), .reason = "requests with descriptors; reports with their sender's pid"},
	{CALL(getsockopt), .reason = "SO_PEERCRED of clients, SO_TYPE of their descriptors"},
	{CALL(socketpair), .reason = "between it and a spare"},
	{CALL(ioctl), WHERE(1, INT_BITS, SIOCOUTQ), .reason = "has a spare taken its claim?"},
	{CALL(fcntl), WHERE(1, INT_BITS, F_DUPFD_CLOEXEC), .reason = "moves descriptors up"},
	{CALL(waitid), .reason = "how a clone ended"},
	{CALL(pidfd_send_signal), .reason = "ends a clone; stops it for an export, lets it go on"},
	{CALL(pidfd_getfd), .reason = "a stopped clone's overlay, for an export"},
	{CALL(process_vm_readv), .reason = "a clone's figures about its disks"},
	{CALL(sendmsg), .reason = "an export's descriptors, to the client that asked; a claim"},
	{CALL(statx), .reason = "kind and size of files that clients give for disks"},
	{CALL(ioctl), WHERE(1, IOCTL_TYPE_MASK, IOCTL_TYPE_SECCOMP),
	 .reason = "clones that ask for a ring, and what they get"},
	{CALL(kcmp), .reason = "has a clone its own table of descriptors yet?"},
	{CALL(openat), WHERE(2, INT_BITS & ~(uint64_t)O_NOFOLLOW, O_RDONLY | O_CLOEXEC),
	 .reason = "/proc, for memory figures, and for overlays anew; never for writing"},
	{CALL(pread64), .reason = "/proc/vmstat, again and again"},
	{CALL(lseek), .reason = "the size of a block device that a client gave"},
	{CALL(getdents64), .reason = "counts open descriptors"},
	{CALL(unlink), .reason = "its socket, when it stops"},
};

static const struct sandbox_rule idle_rules[] = {
	{CALL(poll), .reason = "waits for nothing: all an anchor does"},
	{CALL(restart_syscall), .reason = "the kernel resumes poll by it after a stop"},
	{CALL(rt_sigreturn), .reason = "return from a signal handler"},
	{CALL(exit_group), .reason = "the end"},
};

const struct sandbox_rules sandbox_clone_rules = {clone_rules, ARRAY_SIZE(clone_rules)};
const struct sandbox_rules sandbox_thread_rules = {thread_rules, ARRAY_SIZE(thread_rules)};
const struct sandbox_rules sandbox_line_rules = {line_rules, ARRAY_SIZE(line_rules)};
const struct sandbox_rules sandbox_spare_rules = {spare_rules, ARRAY_SIZE(spare_rules)};
const struct sandbox_rules sandbox_disk_rules = {disk_rules, ARRAY_SIZE(disk_rules)};
const struct sandbox_rules sandbox_nursery_rules = {nursery_rules, ARRAY_SIZE(nursery_rules)};
const struct sandbox_rules sandbox_file_rules = {file_rules, ARRAY_SIZE(file_rules)};
const struct sandbox_rules sandbox_reset_rules = {reset_rules, ARRAY_SIZE(reset_rules)};
const struct sandbox_rules sandbox_reset_nursery_rules = {reset_nursery_rules,
							  ARRAY_SIZE(reset_nursery_rules)};
const struct sandbox_rules sandbox_server_rules = {server_rules, ARRAY_SIZE(server_rules)};
const struct sandbox_rules sandbox_idle_rules = {idle_rules, ARRAY_SIZE(idle_rules)};
