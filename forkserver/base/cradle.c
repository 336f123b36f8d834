/* SPDX-License-Identifier: MIT */
/*
 * The cradle: see cradle.h.
 */
#include "forkserver/base/cradle.h"

#include <assert.h>
#include <errno.h>
#include <link.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <sys/syscall.h>
#include <unistd.h>
#if __has_include(<sys/rseq.h>)
#include <sys/rseq.h>
#define HAVE_RSEQ 1
#else
#define HAVE_RSEQ 0
#endif

#include "forkserver/base/private.h"
#include "vmm/base/util.h"

/* Sanitizers know where stacks are, and keep their own books on them. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define OWN_STACK false
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define OWN_STACK false
#endif
#endif
#ifndef OWN_STACK
#define OWN_STACK true
#endif

#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102 /* Linux 6.13 */
#endif

#define STACK_BYTES	       (60u << 10)
#define CONTROL_BYTES	       (12u << 10) /* of the C library, above the argument */
#define CRADLE_BYTES	       (STACK_BYTES + CRADLE_ARGUMENT_MAX + CONTROL_BYTES)

/* What the C library can have put into the heap before main: the control block of a static program.
 */
#define HEAP_BYTES_BEFORE_MAIN (4 * PAGE_BYTES)

/* The first thing that a child reads. */
struct start {
	void (*run)(const void *argument);
	unsigned char *argument;
	size_t len;
};

static struct {
	_Alignas(PAGE_BYTES) unsigned char memory[CRADLE_BYTES];
} cradle;

/* Set by cradle_init and cradle_settle, only read after. */
static struct {
	struct start *start; /* in the cradle, below the control block */
	uintptr_t tls;	     /* the thread pointer of the picture, 0: not used */
} layout;

/* The picture being taken, while the thread lives. */
struct picture {
	unsigned char *from; /* lowest byte that the C library uses, in the cradle */
	unsigned char *copy; /* of all from there to the cradle's end */
	uintptr_t thread_pointer;
};

/* By the x86-64 ABI the thread pointer points to itself. */
static uintptr_t thread_pointer(void)
{
	return (uintptr_t)__builtin_thread_pointer();
}

struct tls_sizes {
	unsigned int modules; /* that have thread-local storage */
	uintptr_t bytes;      /* from the start of the last one's to the thread pointer */
};

static int add_tls_size(struct dl_phdr_info *info, size_t size, void *context)
{
	struct tls_sizes *sizes = context;

	(void)size;
	for (unsigned int i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *header = &info->dlpi_phdr[i];

		if (header->p_type != PT_TLS)
			continue;
		sizes->modules++;
		sizes->bytes = round_up(header->p_memsz, max_u64(header->p_align, 1));
	}
	return 0;
}

static void *take_picture(void *context)
{
	struct picture *picture = context;
	unsigned char *frame = __builtin_frame_address(0);
	struct tls_sizes tls = {0};

	picture->thread_pointer = thread_pointer();
	/* A static program's storage ends at the thread pointer; what is below is not in use. */
	dl_iterate_phdr(add_tls_size, &tls);
	picture->from =
		tls.modules <= 1 ? (unsigned char *)picture->thread_pointer - tls.bytes : frame;
	memcpy(picture->copy, picture->from,
	       (size_t)(cradle.memory + CRADLE_BYTES - picture->from));
	return NULL;
}

/* Have a thread see what the C library gives it. -errno. */
static int show_to_thread(struct picture *picture)
{
	pthread_attr_t attr;
	pthread_t thread;
	int rc;

	pthread_attr_init(&attr);
	rc = pthread_attr_setstack(&attr, cradle.memory, CRADLE_BYTES);
	if (rc == 0)
		rc = pthread_create(&thread, &attr, take_picture, picture);
	pthread_attr_destroy(&attr);
	if (rc == 0)
		rc = pthread_join(thread, NULL);
	return -rc;
}

/* In the picture the thread has an area that it shares with the kernel; children have none. */
static void forget_rseq(uintptr_t pointer)
{
#if HAVE_RSEQ
	if (__rseq_size)
		((struct rseq *)(pointer + (uintptr_t)__rseq_offset))->cpu_id =
			(uint32_t)RSEQ_CPU_ID_REGISTRATION_FAILED;
#else
	(void)pointer;
#endif
}

/* Put the picture into the cradle, and what children read and write below it. */
static void lay_out(const struct picture *picture)
{
	unsigned char *end = cradle.memory + CRADLE_BYTES;
	uintptr_t below = round_down((uintptr_t)picture->from, PAGE_BYTES);
	assert(picture->from && (uintptr_t)end - below <= CONTROL_BYTES);
	memcpy(picture->from, picture->copy, (size_t)(end - picture->from));
	forget_rseq(picture->thread_pointer);
	layout.tls = picture->thread_pointer;
	layout.start = (struct start *)round_down(below - sizeof(struct start), 64);
	/* Without splitting the mapping, as a page of PROT_NONE would. Older kernels: none. */
	(void)madvise(cradle.memory, PAGE_BYTES, MADV_GUARD_INSTALL);
}

int cradle_init(void)
{
	struct picture picture = {0};
	int rc;

	if (!OWN_STACK) {
		layout.start = (struct start *)(cradle.memory + CRADLE_BYTES - PAGE_BYTES);
		return 0;
	}
	picture.copy = private_map(CRADLE_BYTES);
	if (!picture.copy)
		return -errno;
	rc = show_to_thread(&picture);
	if (rc == 0)
		lay_out(&picture);
	private_unmap(picture.copy, CRADLE_BYTES);
	return rc;
}

/*
 * The kernel writes to the thread's area of restartable sequences after each migration, and does so
 * in children too, at the address where their parent has it.
 */
static int leave_rseq(void)
{
#if HAVE_RSEQ
	if (__rseq_size &&
	    syscall(SYS_rseq, thread_pointer() + (uintptr_t)__rseq_offset, __rseq_size,
		    RSEQ_FLAG_UNREGISTER, RSEQ_SIG) < 0 &&
	    syscall(SYS_rseq, thread_pointer() + (uintptr_t)__rseq_offset, sizeof(struct rseq),
		    RSEQ_FLAG_UNREGISTER, RSEQ_SIG) < 0)
		return -errno;
#endif
	return 0;
}

struct mapping {
	void *at;
	size_t size;
};

/* The mapping that /proc/self/maps calls name; *ret stays as it is when there is none. */
static int find_mapping(const char *name, struct mapping *ret)
{
	FILE *maps = fopen("/proc/self/maps", "re");
	char line[512];

	if (!maps)
		return -errno;
	while (fgets(line, sizeof(line), maps)) {
		char *rest;
		uintptr_t from = strtoul(line, &rest, 16);
		uintptr_t to = *rest == '-' ? strtoul(rest + 1, NULL, 16) : from;

		if (strstr(line, name))
			*ret = (struct mapping){(void *)from, to - from};
	}
	fclose(maps);
	return 0;
}

int cradle_settle(bool children_make_threads)
{
	struct mapping stack = {0}, heap = {0};
	int rc;

	if (!OWN_STACK)
		return 0;
	rc = find_mapping("[stack]", &stack);
	if (rc == 0)
		rc = find_mapping("[heap]", &heap);
	if (rc < 0)
		return rc;
	if (madvise(stack.at, stack.size, MADV_DONTFORK))
		return -errno;
	if (children_make_threads || heap.size > HEAP_BYTES_BEFORE_MAIN || leave_rseq() < 0) {
		layout.tls = 0;
		return 0;
	}
	if (heap.size && madvise(heap.at, heap.size, MADV_DONTFORK))
		return -errno;
	return 0;
}

_Noreturn void cradle_start(void)
{
	const struct start *start = layout.start;

	start->run(start->argument);
	abort(); /* it does not return */
}

const void *cradle_argument(void)
{
	return layout.start->argument;
}

void cradle_prepare(const struct cradle_child *child, struct cradle_place *ret)
{
	struct start *start = layout.start;
	size_t len = child->len + child->more_len;
	uintptr_t copy = round_down((uintptr_t)start - len, 64);
	uintptr_t *stack;

	assert(start && len <= CRADLE_ARGUMENT_MAX - 64);
	*start = (struct start){.run = child->run, .argument = (unsigned char *)copy, .len = len};
	memcpy(start->argument, child->argument, child->len);
	if (child->more_len)
		memcpy(start->argument + child->len, child->more, child->more_len);
	*ret = (struct cradle_place){0};
	if (!OWN_STACK)
		return;
	/*
	 * The call that forks returns by a return instruction (gate.h), to what is on top of the
	 * stack: to cradle_start, as if it had been called.
	 */
	stack = (uintptr_t *)(copy - 16);
	stack[0] = (uintptr_t)cradle_start;
	stack[1] = 0;
	ret->stack = (uintptr_t)cradle.memory;
	ret->stack_size = (uintptr_t)stack - ret->stack;
	ret->tls = layout.tls;
}

const void *cradle_neighbourhood(void)
{
	extern char end[]; /* the linker's, see end(3) */
	uintptr_t heap = (uintptr_t)sbrk(0);

	return heap >= (uintptr_t)end && heap - (uintptr_t)end < GIB ? NULL : end;
}

void cradle_wipe(void)
{
	explicit_bzero(layout.start->argument, layout.start->len);
}
