/* SPDX-License-Identifier: MIT */
/*
 * virtio: drives the entropy device in the first virtio-mmio slot, well and badly. The machine must
 * have one: without it the first register is nobody's memory, and the VM ends with a guest error.
 *
 * Boot argument: device=GPA     where the device is, if not at FORKVM_VIRTIO_MMIO_GPA
 * Request: op=random bytes=N segments=N   N random bytes (1 to 65536, default 32) in so many
 *                                         descriptors (1 to 16, default 1), from the queue as the
 *                                         template left it; this is what no op= means, too
 *          op=NAME              one of virtio_misuse.c, on a device set up anew
 *          op=list              all names
 * Answer:  ok op=random bytes=N data=HEX  (at most the first 512 bytes shown)
 *          ok op=NAME status=HEX
 *          (op=list)            a line NAME:reset or NAME:works each: what must become of the
 * device FAIL op=NAME reason=WORD status=HEX
 *
 * A device that was broken must say so (DEVICE_NEEDS_RESET, a configuration interrupt), end its
 * queue, ignore notifications, and after a reset serve a good request. One that should have put up
 * with it must serve the request at once. The template sets the device up and makes a request; a
 * clone goes on from there.
 */
#include "guest-stubs/runtime/stub.h"
#include "guest-stubs/stubs/virtio_driver.h"
#include "guest-stubs/stubs/virtio_misuse.h"

STUB_NEEDS(0);

#define SHOWN_MAX 512u

static char template_data[32];

void stub_setup(void)
{
	struct setup setup = setup_good();
	const char *wrong;

	driver_init();
	wrong = device_start(&setup);
	if (wrong == NULL)
		wrong = request_random(sizeof(template_data), 1);
	if (wrong != NULL)
		stub_fail("virtio: %s, status 0x%x", wrong, reg_read(REG_STATUS));
	memcpy(template_data, data, sizeof(template_data));
}

static const char *is_broken(void)
{
	uint16_t used = queue.used.index;

	if (!(reg_read(REG_STATUS) & STATUS_BROKEN))
		return "no-reset-wanted";
	if (reg_read(REG_QUEUE_READY) != 0)
		return "queue-lives-on";
	queue_notify();
	if (queue.used.index != used)
		return "works-on";
	return NULL;
}

/* Set up, do it, look what became of the device, and see that it works in the end. */
static const char *misuse_run(const struct misuse *misuse, uint32_t *ret_status)
{
	struct setup setup = setup_good();
	const char *wrong;

	if (misuse->spoil != NULL)
		misuse->spoil(&setup);
	wrong = device_start(&setup);
	if (wrong == NULL && misuse->run != NULL)
		misuse->run();
	*ret_status = reg_read(REG_STATUS);
	if (wrong == NULL && misuse->breaks) {
		/* One that broke before DRIVER_OK interrupts nobody. */
		if (misuse->run != NULL && !(reg_read(REG_INTERRUPT) & INTERRUPT_CONFIG))
			wrong = "no-interrupt";
		if (wrong == NULL)
			wrong = is_broken();
	} else if (wrong == NULL && *ret_status != STATUS_STARTED) {
		wrong = "broken";
	}
	if (wrong != NULL)
		return wrong;
	/* Chains used meanwhile are nobody's business any more. */
	queue.seen = queue.used.index;
	if (misuse->breaks) {
		setup = setup_good();
		wrong = device_start(&setup);
	}
	return wrong != NULL ? wrong : request_good();
}

static size_t list(char *response, size_t capacity)
{
	struct text answer = text_on(response, capacity);

	for (size_t i = 0; i < misuse_count; i++)
		text_printf(&answer, "%s:%s\n", misuses[i].name,
			    misuses[i].breaks ? "reset" : "works");
	return answer.len;
}

static size_t random_bytes(const char *request, size_t request_len, struct text *answer)
{
	uint64_t bytes = 32, segments = 1;
	const char *wrong;

	if (!stub_number(request, request_len, "bytes", &bytes) ||
	    !stub_number(request, request_len, "segments", &segments) || segments == 0 ||
	    segments > QUEUE_SIZE || bytes < segments || bytes > DATA_SIZE)
		wrong = "bad-request";
	else
		wrong = request_random((uint32_t)bytes, (uint32_t)segments);
	if (wrong == NULL && bytes >= sizeof(template_data) &&
	    memcmp(data, template_data, sizeof(template_data)) == 0)
		wrong = "same-as-template";
	if (wrong != NULL) {
		text_printf(answer, "FAIL op=random reason=%s status=%x\n", wrong,
			    reg_read(REG_STATUS));
		return answer->len;
	}
	text_printf(answer, "ok op=random bytes=%lu data=", bytes);
	text_bytes(answer, data, bytes < SHOWN_MAX ? bytes : SHOWN_MAX);
	text_char(answer, '\n');
	return answer->len;
}

size_t stub_serve(const char *request, size_t request_len, char *response, size_t capacity)
{
	struct text answer = text_on(response, capacity);
	const struct misuse *misuse = NULL;
	const char *name, *wrong;
	uint32_t status = 0;
	size_t len;

	if (!args_find(request, request_len, "op", &name, &len) || args_is(name, len, "random"))
		return random_bytes(request, request_len, &answer);
	if (args_is(name, len, "list"))
		return list(response, capacity);
	for (size_t i = 0; i < misuse_count; i++) {
		if (args_is(name, len, misuses[i].name))
			misuse = &misuses[i];
	}
	if (misuse == NULL) {
		text_string(&answer, "FAIL unknown op\n");
		return answer.len;
	}
	wrong = misuse_run(misuse, &status);
	if (wrong != NULL)
		text_printf(&answer, "FAIL op=%s reason=%s status=%x\n", misuse->name, wrong,
			    status);
	else
		text_printf(&answer, "ok op=%s status=%x\n", misuse->name, status);
	return answer.len;
}
