/* SPDX-License-Identifier: MIT */
/*
 * What a qcow2 image says of itself: see qcow2.h.
 */
#include "forkserver/storage/qcow2.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "vmm/base/util.h"

/* Offsets in the header; all numbers are big-endian. */
#define AT_VERSION	  4
#define AT_BACKING_OFFSET 8
#define AT_CLUSTER_BITS	  20
#define AT_SIZE		  24
#define AT_CRYPT	  32
#define AT_L1_ENTRIES	  36
#define AT_L1_OFFSET	  40
#define AT_INCOMPATIBLE	  72 /* from version 3 on */
#define END_OF_VERSION_2  72

#define INCOMPATIBLE_DATA (1u << 2) /* guest data is in another file */

#define CLUSTER_BITS_MIN  9
#define CLUSTER_BITS_MAX  21
#define L1_ENTRIES_MAX	  (32u * MIB / 8) /* QEMU's own limit */
#define DISK_BYTES_MAX	  (1ull << 56)

static uint64_t number(const uint8_t *bytes, size_t at, size_t size)
{
	uint64_t value = 0;

	for (size_t i = 0; i < size; i++)
		value = value << 8 | bytes[at + i];
	return value;
}

static uint32_t number32(const uint8_t *bytes, size_t at)
{
	return (uint32_t)number(bytes, at, 4);
}

bool qcow2_is(const uint8_t *bytes, size_t len)
{
	return len >= 4 && !memcmp(bytes, "QFI\xfb", 4);
}

static int damaged(struct error *error, const char *what, uint64_t value)
{
	return error_set(error, EINVAL, "its qcow2 header is damaged: %s is %" PRIu64, what, value);
}

int qcow2_parse(const uint8_t *bytes, size_t len, struct qcow2_header *ret, struct error *error)
{
	struct qcow2_header header = {0};
	uint32_t version, cluster_bits, l1_entries;
	uint64_t l1_offset, reach;

	if (!qcow2_is(bytes, len))
		return error_set(error, EINVAL,
				 "it is no qcow2 image: it does not begin with one's "
				 "magic number");
	if (len < END_OF_VERSION_2)
		return error_set(error, EINVAL,
				 "it ends within its qcow2 header: it was truncated");
	version = number32(bytes, AT_VERSION);
	if (version != 2 && version != 3)
		return error_set(error, EOPNOTSUPP,
				 "it is of version %u of qcow2, where 2 and 3 are known", version);
	if (version == 3 && len < QCOW2_HEADER_SIZE)
		return error_set(error, EINVAL,
				 "it ends within its qcow2 header: it was truncated");
	if (number32(bytes, AT_CRYPT))
		return error_set(error, EOPNOTSUPP, "it is encrypted: convert it to raw first");
	cluster_bits = number32(bytes, AT_CLUSTER_BITS);
	l1_entries = number32(bytes, AT_L1_ENTRIES);
	l1_offset = number(bytes, AT_L1_OFFSET, 8);
	header.size = number(bytes, AT_SIZE, 8);
	if (cluster_bits < CLUSTER_BITS_MIN || cluster_bits > CLUSTER_BITS_MAX)
		return damaged(error, "the cluster size's logarithm", cluster_bits);
	if (header.size > DISK_BYTES_MAX)
		return damaged(error, "the disk's size", header.size);
	/* An entry stands for a table of cluster / 8 clusters. */
	reach = (uint64_t)l1_entries << (2 * cluster_bits - 3);
	if (l1_entries > L1_ENTRIES_MAX || reach < header.size)
		return damaged(error, "the number of tables", l1_entries);
	if (l1_offset % (1ull << cluster_bits) || l1_offset > DISK_BYTES_MAX)
		return damaged(error, "the table's place", l1_offset);
	header.least_bytes = l1_offset + l1_entries * 8ull;
	header.names_others =
		number(bytes, AT_BACKING_OFFSET, 8) ||
		(version == 3 && number(bytes, AT_INCOMPATIBLE, 8) & INCOMPATIBLE_DATA);
	*ret = header;
	return 0;
}
