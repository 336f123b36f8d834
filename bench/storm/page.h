/* SPDX-License-Identifier: MIT */
/*
 * Pages of figures and plots that need nothing else.
 */
#ifndef FORKVM_BENCH_STORM_PAGE_H
#define FORKVM_BENCH_STORM_PAGE_H

#include <stdbool.h>
#include <stdio.h>

#include "bench/common/host_record.h"
#include "bench/common/samples.h"

/* A new page, open for what is to be in it; NULL after saying why on stderr. */
FILE *page_begin(const char *path);

/* Text, with what HTML means something by made harmless. */
void page_text(FILE *page, const char *text);

/* A heading and its plot, an <svg> element, which is freed. False for NULL: there is none. */
bool page_plot(FILE *page, const char *title, char *svg);

/* A table of times in microseconds: begun, a row for each kind, ended. */
void page_table(FILE *page);
void page_table_row(FILE *page, const char *name, const struct summary *summary);
void page_table_end(FILE *page);

/* The host, as a table. */
void page_host(FILE *page, const struct host_record *host);

/* Close it. 0, or -1 after saying why on stderr. */
int page_end(FILE *page, const char *path);

#endif
