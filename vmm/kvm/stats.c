/* SPDX-License-Identifier: MIT */
/*
 * What KVM counts: see stats.h.
 */
#include "vmm/kvm/stats.h"

#include <errno.h>
#include <linux/kvm.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "vmm/base/cleanup.h"
#include "vmm/base/util.h"

#define NAME_BYTES_MAX 64 /* the kernel's are shorter */

/* A figure's description and name, as the kernel has them one after the other. */
struct entry {
	struct kvm_stats_desc head;
	char name[NAME_BYTES_MAX];
};

static int find(int fd, const struct kvm_stats_header *header, const char *name,
		uint64_t *ret_offset)
{
	size_t size = sizeof(struct kvm_stats_desc) + header->name_size;
	struct entry entry;

	for (uint32_t i = 0; i < header->num_desc; i++) {
		off_t at = (off_t)(header->desc_offset + i * size);

		if (pread(fd, &entry, size, at) != (ssize_t)size)
			return -EIO;
		if (entry.head.size == 1 && !strncmp(entry.name, name, header->name_size)) {
			*ret_offset = header->data_offset + entry.head.offset;
			return 0;
		}
	}
	return -ENOENT;
}

static int find_all(int fd, const char *const *names, size_t count, struct kvm_stats *stats)
{
	uint64_t offsets[KVM_STATS_MAX], first = UINT64_MAX, end = 0;
	struct kvm_stats_header header;

	if (count > KVM_STATS_MAX)
		return -E2BIG;
	if (pread(fd, &header, sizeof(header), 0) != sizeof(header) ||
	    header.name_size > NAME_BYTES_MAX)
		return -EIO;
	for (size_t i = 0; i < count; i++) {
		int rc = find(fd, &header, names[i], &offsets[i]);

		if (rc < 0)
			return rc;
		first = min_u64(first, offsets[i]);
		end = max_u64(end, offsets[i] + sizeof(uint64_t));
	}
	if (end - first > KVM_STATS_BYTES_MAX)
		return -E2BIG;
	for (size_t i = 0; i < count; i++)
		stats->at[i] = offsets[i] - first;
	stats->count = count;
	stats->start = first;
	stats->size = end - first;
	return 0;
}

int kvm_stats_open(const struct kvm_vcpu *vcpu, const char *const *names, size_t count,
		   struct kvm_stats *ret)
{
	_cleanup_close_ int fd = ioctl(vcpu->fd, KVM_GET_STATS_FD, NULL);
	int rc = fd < 0 ? -errno : find_all(fd, names, count, ret);

	ret->fd = rc < 0 ? -1 : fd_steal(&fd);
	return rc;
}

int kvm_stats_read(const struct kvm_stats *stats, uint64_t *ret)
{
	char data[KVM_STATS_BYTES_MAX];
	ssize_t size = pread(stats->fd, data, stats->size, (off_t)stats->start);

	if (size < 0)
		return -errno;
	if ((size_t)size != stats->size)
		return -EIO;
	for (size_t i = 0; i < stats->count; i++)
		memcpy(&ret[i], data + stats->at[i], sizeof(ret[i]));
	return 0;
}

void kvm_stats_close(struct kvm_stats *stats)
{
	fd_close(&stats->fd);
}
