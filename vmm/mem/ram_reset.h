/* SPDX-License-Identifier: MIT */
/*
 * Bringing a clone's RAM back to its template's.
 *
 * Theory of operation. What a clone has written are anonymous pages of its own in a private mapping
 * of the template's file (guest_ram.h). Dropping them shows the template's again, but not for
 * nothing: whoever touches one next takes a fault, and so does KVM. A few are therefore written
 * over with what the file holds, which leaves every mapping as it is; and if there are more, all
 * are dropped. The kernel tells which pages they are (PAGEMAP_SCAN, Linux 6.7) and skips what was
 * never touched, so that it costs by what was written and not by how much RAM there is.
 */
#ifndef FORKVM_VMM_MEM_RAM_RESET_H
#define FORKVM_VMM_MEM_RAM_RESET_H

#include <stdbool.h>
#include <stdint.h>

#include "vmm/base/error.h"
#include "vmm/mem/guest_ram.h"
#include "vmm/mem/page_set.h"

/* More pages than that are dropped rather than written over. */
#define RAM_RESET_COPIES_MAX 64u

/*
 * A descriptor by which a process finds out about its own pages: that of /proc/self/pagemap, opened
 * by call_open. -1 where the kernel cannot tell.
 */
int ram_reset_open(void);

/*
 * The pages that differ, or may, as far as they are few: at most RAM_RESET_COPIES_MAX. False when
 * there are more, or nobody knows.
 */
bool ram_reset_find(int pagemap_fd, const struct guest_ram *ram, struct page_set *ret);

/* Write the template's bytes over these pages. ram->fd must be open. -errno in words. */
int ram_reset_copy(const struct guest_ram *ram, const struct page_set *pages, struct error *error);

/* Drop all pages that are this process's own. */
int ram_reset_drop(const struct guest_ram *ram, struct error *error);

/*
 * Is RAM the template's, byte by byte? Looks at every page that this process has for itself: the
 * others are the template's own. -EIO in words if not.
 */
int ram_reset_verify(int pagemap_fd, const struct guest_ram *ram, struct error *error);

#endif
