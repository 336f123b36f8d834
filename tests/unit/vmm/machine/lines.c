/* SPDX-License-Identifier: MIT */
/* Unit tests of vmm/machine/lines.c. */
#include "vmm/machine/lines.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <linux/kvm.h>
#include <sys/ioctl.h>

#include "tests/unit/require.h"
#include "vmm/kvm/host.h"

#define GSI 10u

static struct kvm_host *host;
static struct kvm_vm vm;
static struct lines lines;
static struct irq_line irq;
static struct error error;

static void make(bool irqchip)
{
	host = require_kvm();
	cr_assert_eq(kvm_vm_init(&vm, host, &error), 0, "%s", error.text);
	if (irqchip)
		cr_assert_eq(kvm_vm_add_irqchip(&vm, false, &error), 0, "%s", error.text);
	lines_init(&lines);
	irq = lines_take(&lines, GSI);
}

static void unmake(void)
{
	lines_close(&lines);
	kvm_vm_done(&vm);
	kvm_host_close(host);
}

/* Has the master or slave PIC latched an edge on the line? */
static bool is_latched(void)
{
	struct kvm_irqchip chip = {.chip_id = KVM_IRQCHIP_PIC_SLAVE};

	cr_assert_eq(ioctl(vm.fd, KVM_GET_IRQCHIP, &chip), 0);
	return chip.chip.pic.irr & 1u << (GSI - 8);
}

Test(lines, an_edge_arrives_before_its_line_is_taken_away)
{
	make(true);
	cr_assert_eq(lines_connect(&lines, &vm, &error), 0, "%s", error.text);
	cr_assert_not(is_latched());
	irq_raise(&irq);
	cr_assert_eq(lines_disconnect(&lines, &vm, &error), 0, "%s", error.text);
	cr_assert(is_latched());
	cr_assert_eq(lines.list[GSI].fd, -1);
	cr_assert_not(lines.list[GSI].pending);
	unmake();
}

Test(lines, an_edge_without_a_line_is_kept)
{
	make(true);
	irq_raise(&irq);
	cr_assert(lines.list[GSI].pending);
	cr_assert_eq(lines_connect(&lines, &vm, &error), 0, "%s", error.text);
	cr_assert(lines.list[GSI].pending, "only when the owner says so");
	lines_replay(&lines);
	cr_assert_not(lines.list[GSI].pending);
	cr_assert_eq(lines_disconnect(&lines, &vm, &error), 0, "%s", error.text);
	cr_assert(is_latched());
	unmake();
}

Test(lines, an_edge_that_is_held_is_sent_later)
{
	struct line_edges edges;

	make(true);
	cr_assert_eq(lines_connect(&lines, &vm, &error), 0, "%s", error.text);
	lines_hold(&lines);
	irq_raise(&irq);
	irq_raise(&irq);
	cr_assert(lines.list[GSI].pending);
	lines_release(&lines, &edges);
	cr_assert_eq(edges.count, 1);
	cr_assert_not(lines.list[GSI].pending);
	cr_assert_not(is_latched());
	lines_send(&edges);
	lines_hold(&lines);
	lines_release(&lines, &edges);
	cr_assert_eq(edges.count, 0, "each is sent once");
	cr_assert_eq(lines_disconnect(&lines, &vm, &error), 0, "%s", error.text);
	cr_assert(is_latched());
	unmake();
}

Test(lines, an_edge_that_is_held_and_leads_nowhere_is_kept)
{
	struct line_edges edges;

	make(true);
	lines_hold(&lines);
	irq_raise(&irq);
	lines_release(&lines, &edges);
	cr_assert_eq(edges.count, 0);
	cr_assert(lines.list[GSI].pending);
	unmake();
}

Test(lines, without_interrupt_controllers_nothing_is_connected)
{
	make(false);
	cr_assert_eq(lines_connect(&lines, &vm, &error), 0, "%s", error.text);
	cr_assert_eq(lines.list[GSI].fd, -1);
	irq_raise(&irq);
	lines_replay(&lines);
	cr_assert(lines.list[GSI].pending);
	cr_assert_eq(lines_disconnect(&lines, &vm, &error), 0);
	unmake();
}

Test(lines, a_vm_that_is_none)
{
	make(true);
	kvm_vm_done(&vm);
	vm.irqchip = true;
	cr_assert_eq(lines_connect(&lines, &vm, &error), -EBADF);
	cr_assert_eq(lines.list[GSI].fd, -1);
	unmake();
}
