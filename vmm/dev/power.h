/* SPDX-License-Identifier: MIT */
/*
 * How a guest ends itself: what it asked its power switch for.
 *
 * A machine has one such word; devices that can switch it off or reset it point to it. They then
 * answer the access with PORT_STOP.
 */
#ifndef FORKVM_VMM_DEV_POWER_H
#define FORKVM_VMM_DEV_POWER_H

enum power_request {
	POWER_NONE,
	POWER_RESET,
	POWER_OFF,
};

/* Ask for request. The first one stands: another vCPU may ask before all of them have stopped. */
static inline void power_ask(enum power_request *power, enum power_request request)
{
	if (*power == POWER_NONE)
		*power = request;
}

#endif
