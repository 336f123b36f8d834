/* SPDX-License-Identifier: MIT */
/* What the pages of clone_storm have in common; see page.h. */
#include "bench/storm/page.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

static const char head[] =
	"<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
	"<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
	"<title>clone_storm</title>\n<style>\n"
	"body{font:16px/1.5 system-ui,sans-serif;color:#222;max-width:900px;margin:2em auto;"
	"padding:0 1em}\n"
	"h1{font-size:1.6em}h2{font-size:1.15em;margin-top:2em}\n"
	"table{border-collapse:collapse;font-variant-numeric:tabular-nums}\n"
	"th,td{padding:.2em .8em;text-align:right;border-bottom:1px solid #ddd}\n"
	"th:first-child,td:first-child{text-align:left}\n"
	"code{background:#f3f3f3;padding:.1em .3em}svg{max-width:100%;height:auto}\n"
	".bad{color:#b00020}\n</style>\n</head>\n<body>\n";

FILE *page_begin(const char *path)
{
	FILE *page = fopen(path, "we");

	if (page)
		fputs(head, page);
	else
		fprintf(stderr, "clone_storm: write %s: %s\n", path, strerror(errno));
	return page;
}

void page_text(FILE *page, const char *text)
{
	for (; *text; text++) {
		switch (*text) {
		case '<':
			fputs("&lt;", page);
			break;
		case '>':
			fputs("&gt;", page);
			break;
		case '&':
			fputs("&amp;", page);
			break;
		default:
			fputc(*text, page);
		}
	}
}

bool page_plot(FILE *page, const char *title, char *svg)
{
	fprintf(page, "<h2>%s</h2>\n", title);
	if (!svg)
		return false;
	fputs(svg, page);
	free(svg);
	return true;
}

void page_table(FILE *page)
{
	fputs("<table>\n<tr><th>microseconds</th><th>p50</th><th>p90</th><th>p99</th><th>p99.9</th>"
	      "<th>max</th></tr>\n",
	      page);
}

void page_table_row(FILE *page, const char *name, const struct summary *summary)
{
	fprintf(page,
		"<tr><td>%s</td><td>%.1f</td><td>%.1f</td><td>%.1f</td><td>%.1f</td><td>%.1f</td></"
		"tr>\n",
		name, summary->p50, summary->p90, summary->p99, summary->p999, summary->max);
}

void page_table_end(FILE *page)
{
	fputs("</table>\n", page);
}

void page_host(FILE *page, const struct host_record *host)
{
	json_t *object = host_record_json(host), *value;
	const char *name;

	fputs("<h2>Host</h2>\n<table>\n", page);
	json_object_foreach(object, name, value)
	{
		fprintf(page, "<tr><td>%s</td><td>", name);
		if (json_is_integer(value))
			fprintf(page, "%lld", (long long)json_integer_value(value));
		else
			page_text(page, json_string_value(value));
		fputs("</td></tr>\n", page);
	}
	fputs("</table>\n", page);
	json_decref(object);
}

int page_end(FILE *page, const char *path)
{
	fputs("<p>bench/METHOD.md says how these figures are taken and what they do not show.</p>\n"
	      "</body>\n</html>\n",
	      page);
	if (ferror(page) | fclose(page)) {
		fprintf(stderr, "clone_storm: write %s: %s\n", path, strerror(errno));
		return -1;
	}
	return 0;
}
