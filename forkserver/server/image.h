/* SPDX-License-Identifier: MIT */
/*
 * The program's own pages, made cheap to inherit.
 */
#ifndef FORKVM_FORKSERVER_SERVER_IMAGE_H
#define FORKVM_FORKSERVER_SERVER_IMAGE_H

/*
 * Have forks copy the page table entries of this program's code and constants. To be called while
 * files can still be opened. Does what the kernel lets it do: where it does not, clones are a little
 * slower and nothing else. Returns how many segments were prepared.
 */
int image_prepare(void);

#endif
