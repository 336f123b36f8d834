/* SPDX-License-Identifier: MIT */
/*
 * Interrupt lines: see lines.h.
 */
#include "vmm/machine/lines.h"

#include <assert.h>
#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "vmm/base/cleanup.h"
#include "vmm/base/util.h"
#include "vmm/kvm/irq.h"

/* The counter cannot overflow: KVM empties it. */
static bool send_edge(int fd)
{
	const uint64_t one = 1;

	return write(fd, &one, sizeof(one)) == sizeof(one);
}

static void line_raise(void *ctx)
{
	struct line *line = ctx;

	if (line->fd < 0 || *line->held || !send_edge(line->fd))
		line->pending = true;
}

void lines_init(struct lines *lines)
{
	for (uint32_t i = 0; i < GSI_COUNT; i++)
		lines->list[i] = (struct line){.fd = -1, .gsi = i, .held = &lines->held};
	lines->held = false;
}

struct irq_line lines_take(struct lines *lines, uint32_t gsi)
{
	assert(gsi < GSI_COUNT && !lines->list[gsi].used);
	lines->list[gsi].used = true;
	return (struct irq_line){.raise = line_raise, .ctx = &lines->list[gsi]};
}

static int connect_line(struct line *line, const struct kvm_vm *vm, struct error *error)
{
	_cleanup_close_ int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	int rc;

	if (fd < 0)
		return error_set_errno(error, errno, "eventfd for interrupt line %u", line->gsi);
	rc = kvm_irqfd_add(vm, fd, line->gsi, error);
	if (rc == 0)
		line->fd = fd_steal(&fd);
	return rc;
}

int lines_connect(struct lines *lines, const struct kvm_vm *vm, struct error *error)
{
	int rc = 0;

	if (!vm->irqchip)
		return 0;
	for (uint32_t i = 0; rc == 0 && i < GSI_COUNT; i++)
		if (lines->list[i].used)
			rc = connect_line(&lines->list[i], vm, error);
	return rc;
}

void lines_replay(struct lines *lines)
{
	for (uint32_t i = 0; i < GSI_COUNT; i++) {
		struct line *line = &lines->list[i];

		if (!line->pending || line->fd < 0)
			continue;
		line->pending = false;
		line_raise(line);
	}
}

void lines_hold(struct lines *lines)
{
	lines->held = true;
}

void lines_release(struct lines *lines, struct line_edges *ret)
{
	lines->held = false;
	ret->count = 0;
	for (uint32_t i = 0; i < GSI_COUNT; i++) {
		struct line *line = &lines->list[i];

		if (!line->pending || line->fd < 0)
			continue;
		line->pending = false;
		ret->fds[ret->count++] = line->fd;
	}
}

void lines_send(const struct line_edges *edges)
{
	for (unsigned int i = 0; i < edges->count; i++)
		(void)send_edge(edges->fds[i]);
}

int lines_disconnect(struct lines *lines, const struct kvm_vm *vm, struct error *error)
{
	int rc = 0;

	for (uint32_t i = 0; rc == 0 && i < GSI_COUNT; i++) {
		struct line *line = &lines->list[i];

		if (line->fd < 0)
			continue;
		rc = kvm_irqfd_remove(vm, line->fd, line->gsi, error);
		fd_close(&line->fd);
	}
	return rc;
}

void lines_close(struct lines *lines)
{
	for (uint32_t i = 0; i < GSI_COUNT; i++)
		fd_close(&lines->list[i].fd);
}
