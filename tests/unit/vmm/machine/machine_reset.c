/* SPDX-License-Identifier: MIT */
/* Unit tests of vmm/machine/machine_reset.c: clones of real stubs that live again and again. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/helper.h"
#include "tests/unit/require.h"
#include "tests/unit/vmm/machine/life.h"
#include "vmm/base/util.h"
#include "vmm/machine/internal.h"

/* What becomes of a clone of many lives, in memory that its process shares with the test. */
struct lives {
	unsigned int wanted, lived, quick;
	bool verify;
	const char *request;
	char answer[512]; /* the last one */
	size_t answer_len;
	uint64_t shortest_ns;
	struct machine_end end;
	struct error error;
	bool watch_line;	     /* look for the first virtio device's interrupts */
	unsigned int interrupts;     /* lives in which there was one                  */
	unsigned int fds, fds_after; /* descriptors after the first life, and the last */
	/* of the present life */
	unsigned int asked;
};

static int on_answer(void *ctx, const void *data, size_t len)
{
	struct lives *lives = ctx;

	lives->answer_len = min_u64(len, sizeof(lives->answer));
	memcpy(lives->answer, data, lives->answer_len);
	return 0;
}

static int on_park(void *ctx, void *buf, size_t capacity, size_t *ret_len)
{
	struct lives *lives = ctx;

	if (lives->asked++)
		return 0;
	*ret_len = min_u64(strlen(lives->request), capacity);
	memcpy(buf, lives->request, *ret_len);
	return 1;
}

#define VIRTIO_PIN	  (1u << (GSI_VIRTIO - 8)) /* of the second PIC */
#define INTERRUPT_WAIT_NS (10 * NS_PER_SEC)

/* Edges that the second PIC has seen: they stay until the guest takes them, which this one does
 * not.
 */
static struct kvm_irqchip read_pic(const struct machine *machine)
{
	struct kvm_irqchip chip = {.chip_id = KVM_IRQCHIP_PIC_SLAVE};

	cr_assert_eq(ioctl(machine->vm.fd, KVM_GET_IRQCHIP, &chip), 0);
	return chip;
}

static bool was_interrupted(const struct machine *machine)
{
	const uint64_t end_ns = now_ns() + INTERRUPT_WAIT_NS;

	/* KVM may bring it there by a worker of its own. */
	while (!(read_pic(machine).chip.pic.irr & VIRTIO_PIN))
		if (now_ns() > end_ns)
			return false;
	return true;
}

static void forget_interrupts(const struct machine *machine)
{
	struct kvm_irqchip chip = read_pic(machine);

	chip.chip.pic.irr = chip.chip.pic.last_irr = 0;
	cr_assert_eq(ioctl(machine->vm.fd, KVM_SET_IRQCHIP, &chip), 0);
}

static unsigned int count_fds(void)
{
	unsigned int count = 0;

	for (int fd = 0; fd < 256; fd++)
		count += fcntl(fd, F_GETFD) >= 0;
	return count;
}

/* Reset it, look at it, and let it begin its next life. */
static int again(struct machine *machine, struct lives *lives)
{
	const struct forkvm_identity identity = life_identity(lives->lived + 1);
	uint64_t before = now_ns(), after;
	bool quick = false;
	int rc = machine_reset(machine, &quick, &lives->error);

	after = now_ns();
	lives->quick += quick;
	if (!lives->shortest_ns || after - before < lives->shortest_ns)
		lives->shortest_ns = after - before;
	if (rc == 0 && lives->verify)
		rc = machine_verify_reset(machine, &lives->error);
	lives->asked = 0;
	if (rc == 0)
		rc = machine_begin_again(machine, &identity, NULL, 0, &lives->error);
	if (rc == 0 && lives->watch_line)
		forget_interrupts(machine);
	return rc;
}

static void live(struct machine *machine, struct lives *lives)
{
	const struct machine_sink sink = {.ctx = lives, .answer = on_answer, .park = on_park};
	const struct forkvm_identity identity = life_identity(1);
	struct machine_stages stages = {0};
	int rc = machine_prepare_reset(machine, machine_ram_fd(machine), &lives->error);

	if (rc == 0)
		rc = machine_thaw(machine, &identity, NULL, 0, &stages, &lives->error);
	while (rc == 0) {
		machine_run(machine, &sink, &lives->end);
		if (lives->end.reason != MACHINE_END_DONE || lives->end.status)
			return;
		if (lives->watch_line)
			lives->interrupts += was_interrupted(machine);
		lives->fds_after = count_fds();
		if (++lives->lived == 1)
			lives->fds = lives->fds_after;
		if (lives->lived == lives->wanted)
			return;
		rc = again(machine, lives);
	}
}

static void run(struct machine *machine, struct lives *lives)
{
	pid_t pid = fork();
	int status;

	cr_assert_geq(pid, 0);
	if (pid == 0) {
		live(machine, lives);
		_exit(0);
	}
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	cr_assert_eq(status, 0);
	cr_assert_eq(lives->error.code, 0, "after %u lives of \"%s\": %s", lives->lived,
		     lives->request, lives->error.text);
	cr_assert_eq(lives->end.reason, MACHINE_END_DONE, "life %u: %s", lives->lived + 1,
		     lives->end.error.text);
	cr_assert_eq(lives->lived, lives->wanted);
	cr_assert_eq(lives->fds_after, lives->fds, "%u descriptors after %u lives, %u after one",
		     lives->fds_after, lives->lived, lives->fds);
}

static struct lives *lives_new(unsigned int wanted, const char *request)
{
	struct lives *lives = mmap(NULL, sizeof(*lives), PROT_READ | PROT_WRITE,
				   MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	cr_assert_neq(lives, MAP_FAILED);
	*lives = (struct lives){.wanted = wanted, .request = request, .verify = true};
	return lives;
}

static void live_stub(const struct machine_config *config, const char *path, const char *args,
		      const char *request, unsigned int wanted, const char *answer)
{
	struct kvm_host *host = require_kvm();
	struct machine *machine = life_template(host, config, path, args);
	struct lives *lives = lives_new(wanted, request);

	cr_assert_null(machine_cannot_reset(machine));
	run(machine, lives);
	cr_assert_eq(strncmp(lives->answer, answer, strlen(answer)), 0, "%s: %.*s", path,
		     (int)lives->answer_len, lives->answer);
	munmap(lives, sizeof(*lives));
	machine_free(machine);
	kvm_host_close(host);
}

static const struct machine_config plain = {.ram_size = 64 * MIB, .vcpus = 1, .resettable = true};

Test(reset, a_new_identity_each_time)
{
	live_stub(&plain, STUB("hello"), NULL, "", 50, "ok hello clone=50\n");
}

Test(reset, every_stub_finds_its_template_again)
{
	static const struct {
		const char *path, *args, *request;
	} stubs[] = {
		{STUB("echo"), NULL, "ok, and a few bytes"},
		{STUB("unique"), NULL, "draws=2"},
		{STUB("fpu"), NULL, "fpu"},
		{STUB("regs"), NULL, "regs"},
		{STUB("clock"), NULL, "clock"},
		{STUB("dirty"), "region=8", "pages=1000 check=500 seed=3"},
		{STUB("dirty"), "region=2", "pages=20 check=20 hole=20"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(stubs); i++)
		live_stub(&plain, stubs[i].path, stubs[i].args, stubs[i].request, 10, "ok");
}

Test(reset, machines_of_other_kinds)
{
	static const struct machine_config configs[] = {
		{.ram_size = 64 * MIB, .vcpus = 1, .resettable = true, .slots = MACHINE_SLOTS_ALL},
		{.ram_size = 64 * MIB, .vcpus = 1, .resettable = true, .force_cpuid = true},
		{.ram_size = 64 * MIB, .vcpus = 1, .resettable = true, .force_irqchip = true},
		{.ram_size = 6 * GIB, .vcpus = 1, .resettable = true},
	};

	for (size_t i = 0; i < ARRAY_SIZE(configs); i++)
		live_stub(&configs[i], STUB("dirty"), "region=4", "pages=64 check=64 hole=12", 10,
			  "ok");
}

Test(reset, a_device_begins_anew)
{
	const struct machine_config config = {
		.ram_size = 64 * MIB, .vcpus = 1, .resettable = true, .rng = true};

	live_stub(&config, STUB("virtio"), NULL, "op=random bytes=64 segments=3", 10, "ok");
}

Test(reset, a_device_interrupts_in_every_life)
{
	const struct machine_config config = {.ram_size = 64 * MIB,
					      .vcpus = 1,
					      .resettable = true,
					      .rng = true,
					      .force_irqchip = true};
	struct kvm_host *host = require_kvm();
	struct machine *machine = life_template(host, &config, STUB("virtio"), NULL);
	struct lives *lives = lives_new(10, "op=random bytes=64 segments=3");

	lives->watch_line = true;
	run(machine, lives);
	cr_assert_eq(lives->interrupts, lives->wanted);
	cr_assert_eq(lives->quick, 0);
	munmap(lives, sizeof(*lives));
	machine_free(machine);
	kvm_host_close(host);
}

/* What a check after a reset must find. */
static void spoil_ram(struct machine *machine)
{
	machine->ram->host[machine->ram->size - 1] ^= 1;
}

static void spoil_vector_register(struct machine *machine)
{
	const int fd = machine->vcpus[0].kvm.fd;
	/* In 32-bit words: XMM0 at 160 bytes, XSTATE_BV at 512 (Intel SDM volume 1, 13.4). */
	static uint32_t xsave[16384];

	cr_assert_leq(machine->host->xsave_size, sizeof(xsave));
	cr_assert_eq(ioctl(fd, machine->host->has_xsave2 ? KVM_GET_XSAVE2 : KVM_GET_XSAVE, xsave),
		     0);
	xsave[160 / 4] ^= 1;
	xsave[512 / 4] |= 2;
	cr_assert_eq(ioctl(fd, KVM_SET_XSAVE, xsave), 0);
}

static void spoil_interrupt_controller(struct machine *machine)
{
	struct kvm_irqchip chip = {.chip_id = KVM_IRQCHIP_IOAPIC};

	cr_assert_eq(ioctl(machine->vm.fd, KVM_GET_IRQCHIP, &chip), 0);
	chip.chip.ioapic.redirtbl[5].fields.vector ^= 0x40;
	cr_assert_eq(ioctl(machine->vm.fd, KVM_SET_IRQCHIP, &chip), 0);
}

/* One life, a reset, the spoiling, and the check: how that ends, in memory that is shared. */
static void check_spoilt(struct machine *machine, struct lives *lives,
			 void (*spoil)(struct machine *))
{
	const struct machine_sink sink = {.ctx = lives, .answer = on_answer, .park = on_park};
	const struct forkvm_identity identity = life_identity(1);
	struct machine_stages stages = {0};
	bool quick;
	int rc = machine_prepare_reset(machine, machine_ram_fd(machine), &lives->error);

	if (rc == 0)
		rc = machine_thaw(machine, &identity, NULL, 0, &stages, &lives->error);
	if (rc < 0)
		return;
	machine_run(machine, &sink, &lives->end);
	if (machine_reset(machine, &quick, &lives->error) < 0 ||
	    machine_verify_reset(machine, &lives->error) < 0)
		return;
	lives->lived = 1;
	if (spoil)
		spoil(machine);
	(void)machine_verify_reset(machine, &lives->error);
}

Test(reset, a_check_finds_what_is_not_as_it_was)
{
	static const struct {
		void (*spoil)(struct machine *);
		const char *words; /* NULL: nothing is found */
	} cases[] = {
		{NULL, NULL},
		{spoil_ram, "RAM differs"},
		{spoil_vector_register, "xsave"},
		{spoil_interrupt_controller, "interrupt controller 2"},
	};
	const struct machine_config config = {
		.ram_size = 64 * MIB, .vcpus = 1, .resettable = true, .force_irqchip = true};
	struct kvm_host *host = require_kvm();
	struct machine *machine = life_template(host, &config, STUB("echo"), NULL);

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct lives *lives = lives_new(1, "ok");
		pid_t pid = fork();
		int status;

		cr_assert_geq(pid, 0);
		if (pid == 0) {
			check_spoilt(machine, lives, cases[i].spoil);
			_exit(0);
		}
		cr_assert_eq(waitpid(pid, &status, 0), pid);
		cr_assert_eq(status, 0);
		cr_assert_eq(lives->lived, 1, "unspoilt: %s", lives->error.text);
		if (cases[i].words) {
			cr_assert_eq(lives->error.code, EIO, "%s is not found", cases[i].words);
			cr_assert_not_null(strstr(lives->error.text, cases[i].words), "%s",
					   lives->error.text);
		} else {
			cr_assert_eq(lives->error.code, 0, "%s", lives->error.text);
		}
		munmap(lives, sizeof(*lives));
	}
	machine_free(machine);
	kvm_host_close(host);
}

/* Where the host tells what a guest in user mode has done, a small guest is reset the quick way. */
Test(reset, the_quick_way)
{
	struct kvm_host *host = require_kvm();
	struct machine *machine = life_template(host, &plain, STUB("echo"), NULL);
	struct lives *lives = lives_new(200, "anything");

	if (!host->guests_in_user_mode)
		cr_skip_test("this host's KVM runs guests' kernels, too");
	run(machine, lives);
	cr_assert_gt(lives->quick, 150);
	munmap(lives, sizeof(*lives));
	machine_free(machine);
	kvm_host_close(host);
}

/* Whatever is not plain work in user mode is not. */
Test(reset, the_thorough_way)
{
	static const struct {
		const char *path, *args, *request;
	} stubs[] = {
		{STUB("regs"), NULL, ""},		       /* reads its registers in ring 0 */
		{STUB("dirty"), "region=4", "pages=100"},      /* too much of it                */
		{STUB("dirty"), "region=1", "pages=1 hole=3"}, /* further memslots              */
	};
	struct kvm_host *host = require_kvm();

	for (size_t i = 0; i < ARRAY_SIZE(stubs); i++) {
		struct machine *machine = life_template(host, &plain, stubs[i].path, stubs[i].args);
		struct lives *lives = lives_new(5, stubs[i].request);

		run(machine, lives);
		cr_assert_eq(lives->quick, 0, "%s", stubs[i].request);
		munmap(lives, sizeof(*lives));
		machine_free(machine);
	}
	kvm_host_close(host);
}

/* Each misuse that leaves the clone alive. */
Test(reset, after_whatever_a_hostile_guest_did)
{
	static const char *const requests[] = {
		"op=console-flood", "op=console-binary", "op=console-empty", "op=mailbox-host-part",
		"op=port-nobodys",  "op=port-beyond",	 "op=msr-unknown",   "op=port-below"};
	struct kvm_host *host = require_kvm();
	struct machine *machine = life_template(host, &plain, STUB("hostile"), NULL);

	for (size_t i = 0; i < ARRAY_SIZE(requests); i++) {
		struct lives *lives = lives_new(5, requests[i]);

		run(machine, lives);
		munmap(lives, sizeof(*lives));
	}
	machine_free(machine);
	kvm_host_close(host);
}

Test(reset, what_cannot_be)
{
	static const struct {
		struct machine_config config;
		const char *why;
	} bad[] = {
		{{.ram_size = 64 * MIB, .vcpus = 2, .resettable = true}, "several vCPUs"},
		{{.ram_size = 64 * MIB, .vcpus = 1}, "not frozen for that"},
	};
	struct kvm_host *host = require_kvm();

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct machine *machine = life_template(host, &bad[i].config, STUB("hello"), NULL);
		const char *why = machine_cannot_reset(machine);

		cr_assert_not_null(why);
		cr_assert_not_null(strstr(why, bad[i].why), "%s", why);
		machine_free(machine);
	}
	kvm_host_close(host);
}
