/* SPDX-License-Identifier: MIT */
/*
 * The generation id: see vmgenid.h.
 */
#include "vmm/dev/vmgenid.h"

#include <assert.h>
#include <string.h>

#include "vmm/base/layout.h"

void vmgenid_init(struct vmgenid *vmgenid, const struct guest_ram *ram)
{
	*vmgenid = (struct vmgenid){.ram = ram};
}

void vmgenid_set(const struct vmgenid *vmgenid, const uint8_t id[VMGENID_BYTES])
{
	void *at = guest_ram_at(vmgenid->ram, GPA_VMGENID, VMGENID_BYTES);

	assert(at); /* no RAM is so small */
	memcpy(at, id, VMGENID_BYTES);
}

void vmgenid_notify(const struct vmgenid *vmgenid)
{
	irq_raise(&vmgenid->irq);
}
