/* SPDX-License-Identifier: MIT */
/*
 * QEMU's VM templating, as docs/system/vm-templating has it and at its best settings.
 *
 *	guest.c     what QEMU boots, what its clones are asked, what is a right answer
 *	initrd.c    a Linux guest's initial ramdisk, with a first program that answers
 *	find.c      which QEMU
 *	command.c   how it is called, its process
 *	qmp.c       its control connection
 *	template.c  boots the template, has it save its state
 *	clones.c    rounds of clones: started, asked, verified, timed
 *	qemu.c      all of it in order
 *
 * Theory of operation. The template's RAM is a file in /dev/shm, mapped shared. Once its guest is
 * set up it saves everything but RAM (x-ignore-shared) into another file, and ends. A clone is a
 * new QEMU that maps the RAM file private, and is told to load that state from a descriptor before
 * it runs its first instruction.
 *
 * A Linux guest is asked on its serial port as soon as QEMU says that it runs. Asking any earlier
 * would lose the request: loading the state overwrites what the serial port has received. A stub
 * finds its request in QEMU's fw_cfg (guest-stubs/qemu/qemu_abi.h), and has it at once. So nobody
 * waits for a stub's QEMU to say anything, and it is told by its monitor for people, which costs a
 * millisecond less than the one for programs: both read a byte at a time, and it has fewer to read.
 */
#ifndef FORKVM_BENCH_PEER_QEMU_H
#define FORKVM_BENCH_PEER_QEMU_H

#include <jansson.h>
#include <limits.h>
#include <sys/types.h>

#include "bench/peer/peer.h"
#include "bench/storm/check.h"

struct qemu {
	const struct storm_options *options; /* not owned                                  */
	char program[PATH_MAX];
	bool has_microvm;
	bool stub;	      /* the guest is one, otherwise Linux                      */
	char machine[160];    /* -M, less the memory                                    */
	char image[PATH_MAX]; /* what -kernel names                                  */
	char folder[64];      /* in /dev/shm, ours alone                                */
	char ram[96], state[96], initrd[96], log[96]; /* files in it                       */
};

/* One QEMU. Descriptors are owned, and -1 when there are none. */
struct qemu_vm {
	pid_t pid;
	int pidfd, qmp, serial;
	uint64_t start_ns;
};

#define QEMU_NO_VM	((struct qemu_vm){.pid = -1, .pidfd = -1, .qmp = -1, .serial = -1})

/* What a clone's end of things is called in its process. */
#define QEMU_STATE_FD	12
#define QEMU_REQUEST_FD 13

/* guest.c: settle what is booted, and on which machine. 0, or -1 after saying why. */
int qemu_guest_settle(struct qemu *qemu);

/*
 * guest.c: what a stub reads in the clone of that number, or in the template (0): a file without a
 * name. A descriptor that is the caller's, or -errno.
 */
int qemu_guest_request_file(const struct qemu *qemu, uint64_t id);

/* guest.c: what a Linux guest is sent: a line. */
#define QEMU_LINE_SIZE 24
void qemu_guest_line(uint64_t id, char line[QEMU_LINE_SIZE]);

/* guest.c: judge what the clone of that number has answered so far. */
enum check_verdict qemu_guest_judge(const struct qemu *qemu, struct checker *checker, uint64_t id,
				    const char *answer, size_t length, const char **ret_reason);

/* initrd.c: 0, or -1 after saying why. */
int qemu_make_initrd(const struct qemu *qemu);

/* find.c: find the program and what machine it has. 0, or -1 after saying why. */
int qemu_find(struct qemu *qemu);

/*
 * command.c: make the connections of a VM that is to be started: ret->qmp and ret->serial, and in
 * far the ends that are QEMU's, owned by the caller. 0 or -errno.
 */
int qemu_connect(struct qemu_vm *ret, int far[2]);

/*
 * command.c: start it: the template when id is 0, otherwise the clone of that number. vm->start_ns
 * is just before. 0 or -errno.
 */
int qemu_start(const struct qemu *qemu, const int far[2], uint64_t id, struct qemu_vm *vm);

/* command.c: kill it; its pidfd tells when it is gone. */
void qemu_kill(const struct qemu_vm *vm);

/* command.c: kill it, wait for its end, close everything. */
void qemu_end(struct qemu_vm *vm);

/* command.c: the last line of QEMU's own messages in text. */
void qemu_last_words(const struct qemu *qemu, char *text, size_t size);

/* qmp.c: the messages that come; zeroed is empty. */
struct qmp_buffer {
	char bytes[8192];
	size_t used;
};

/* qmp.c: send text, with a descriptor beside it when fd is not -1. 0 or -errno. */
int qmp_send(int qmp, const char *text, int fd);

/*
 * qmp.c: the next whole message, a new reference; NULL with *ret_error 0 when there is none yet,
 * otherwise with -errno (-ECONNRESET: QEMU closed it).
 */
json_t *qmp_next(int qmp, struct qmp_buffer *buffer, int *ret_error);

/* qmp.c: is that the event of this name? */
bool qmp_is_event(const json_t *message, const char *name);

/* qmp.c: what went wrong, or NULL. Not a new reference. */
const char *qmp_error(const json_t *message);

/* template.c: 0, or less after saying why; the RAM and state files are there then. */
int qemu_make_template(const struct qemu *qemu, struct peer *peer);

/* One round. */
struct qemu_round {
	size_t count, concurrency;
	bool alive; /* all are kept until the last has answered; memory is looked at  */
	bool timed; /* latency goes into the peer                                     */
};

/* clones.c: 0, or -1 after saying why it could not go on. */
int qemu_clones(const struct qemu *qemu, const struct qemu_round *round, struct peer *peer);

#endif
