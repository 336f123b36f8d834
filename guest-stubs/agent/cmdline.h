/* SPDX-License-Identifier: MIT */
/*
 * The kernel's command line, cut into words as the kernel itself does it (parse_args in
 * kernel/params.c): blanks separate, double quotes keep blanks in a word and are left out.
 */
#ifndef FORKVM_AGENT_CMDLINE_H
#define FORKVM_AGENT_CMDLINE_H

#include <stdbool.h>

/*
 * Cut the next word off *line, in place. Returns it, with *line behind it, or NULL at the end. The
 * word "--" ends the parameters: what follows goes to init as its arguments.
 */
char *cmdline_next(char **line);

/*
 * Is word "forkvm.NAME" or "forkvm.NAME=VALUE"? Then *ret_name and *ret_value (NULL when there is
 * none) point into word, which is cut at the equals sign. As with modules, '_' may stand for '-';
 * in the name it becomes that.
 */
bool cmdline_option(char *word, char **ret_name, char **ret_value);

#endif
