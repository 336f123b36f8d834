/* SPDX-License-Identifier: MIT */
/*
 * From copy to clone: see renew.h. random(4), machine-id(5).
 */
#include "guest-stubs/agent/renew.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/random.h>
#include <stddef.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <unistd.h>

#include "guest-stubs/agent/clock.h"
#include "guest-stubs/agent/file.h"
#include "guest-stubs/agent/log.h"
#include "guest-stubs/agent/machine_id.h"

#define POOL_BYTES (FORKVM_SEED_SIZE + FORKVM_GENERATION_ID_SIZE)

_Static_assert(offsetof(struct rand_pool_info, buf) == 2 * sizeof(uint32_t), "as reseed() has it");

int renew_prepare(struct renewal *renewal, const struct options *options)
{
	renewal->options = options;
	renewal->random_fd = open("/dev/urandom", O_RDONLY | O_CLOEXEC);
	return renewal->random_fd < 0 ? -errno : 0;
}

/* Did it work? A failure is told. */
static bool tell(const char *step, int rc)
{
	if (rc < 0)
		log_warn("%s: %s", step, strerror(-rc));
	return rc == 0;
}

/*
 * The seed counts as entropy, all of it, and RNDRESEEDCRNG has the generator drop its present key
 * for one of the pool now: by itself it would keep on using the template's for up to a minute. The
 * generation id goes in too, uncredited, so that a host that repeats a seed still gets two streams.
 */
static int reseed(int fd, struct mailbox *box, const struct identity *identity)
{
	/* struct rand_pool_info: bits, bytes, bytes... */
	uint32_t entropy[2 + POOL_BYTES / sizeof(uint32_t)] = {FORKVM_SEED_SIZE * 8, POOL_BYTES};
	uint8_t *bytes = (uint8_t *)&entropy[2];
	int rc = 0;

	mailbox_take_seed(box, bytes);
	memcpy(bytes + FORKVM_SEED_SIZE, identity->given.generation_id, FORKVM_GENERATION_ID_SIZE);
	if (ioctl(fd, RNDADDENTROPY, entropy) < 0 || ioctl(fd, RNDRESEEDCRNG, NULL) < 0)
		rc = -errno;
	explicit_bzero(entropy, sizeof(entropy));
	return rc;
}

/* What shows whether two clones draw the same. */
static void draw(int fd, struct identity *identity)
{
	if (read(fd, identity->from_urandom, IDENTITY_DRAW_SIZE) != IDENTITY_DRAW_SIZE)
		log_warn("/dev/urandom: %s", strerror(errno));
	if (getrandom(identity->from_getrandom, IDENTITY_DRAW_SIZE, 0) != IDENTITY_DRAW_SIZE)
		log_warn("getrandom: %s", strerror(errno));
}

static int set_hostname(struct identity *identity, const char *prefix)
{
	identity_hostname(identity->hostname, prefix, identity->given.clone_id);
	return sethostname(identity->hostname, strlen(identity->hostname)) < 0 ? -errno : 0;
}

static int set_machine_id(struct identity *identity)
{
	uint8_t random[16];

	if (getrandom(random, sizeof(random), 0) != sizeof(random))
		return -errno;
	identity_machine_id(identity->machine_id, random);
	return machine_id_write(identity->machine_id);
}

void renew_now(const struct renewal *renewal, struct mailbox *box, struct identity *ret_identity)
{
	const struct options *options = renewal->options;
	uint8_t unused[FORKVM_SEED_SIZE];
	struct identity *identity = ret_identity;

	*identity = (struct identity){0};
	mailbox_identity(box, &identity->given);
	if (options->reseed)
		identity->reseeded = tell("reseeding the random generator",
					  reseed(renewal->random_fd, box, identity));
	mailbox_take_seed(box, unused);
	explicit_bzero(unused, sizeof(unused));
	draw(renewal->random_fd, identity);
	if (options->clock)
		identity->clock_set = tell("setting the clock", clock_follow_host(box));
	if (options->hostname)
		identity->hostname_set =
			tell("hostname", set_hostname(identity, options->hostname_prefix));
	else
		gethostname(identity->hostname, sizeof(identity->hostname) - 1);
	if (options->machine_id)
		identity->machine_id_set = tell("machine id", set_machine_id(identity));
	else
		file_read(MACHINE_ID_PATH, identity->machine_id, sizeof(identity->machine_id));
}
