/* SPDX-License-Identifier: MIT */
/*
 * A fuzz target without a fuzzer: runs it over every file of the folders given. For builds by
 * compilers that have no libFuzzer, so that what was found once stays found.
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/fuzz/fuzz.h"

#define INPUT_MAX (1u << 20)

static void replay_file(const char *path, uint8_t *buffer)
{
	FILE *file = fopen(path, "re");
	uint8_t *exact;
	size_t size;

	if (!file) {
		perror(path);
		exit(1);
	}
	size = fread(buffer, 1, INPUT_MAX, file);
	fclose(file);
	/* In memory of just its size, so that a sanitizer sees a byte read too far. */
	exact = malloc(size ? size : 1);
	if (!exact)
		exit(1);
	memcpy(exact, buffer, size);
	LLVMFuzzerTestOneInput(exact, size);
	free(exact);
}

static unsigned int replay_folder(const char *path, uint8_t *buffer)
{
	struct dirent **entries = NULL;
	int count = scandir(path, &entries, NULL, alphasort);
	unsigned int replayed = 0;

	if (count < 0) {
		perror(path);
		exit(1);
	}
	for (int i = 0; i < count; i++) {
		char name[4096];

		if (entries[i]->d_name[0] != '.') {
			snprintf(name, sizeof(name), "%s/%s", path, entries[i]->d_name);
			replay_file(name, buffer);
			replayed++;
		}
		free(entries[i]);
	}
	free(entries);
	return replayed;
}

int main(int argc, char **argv)
{
	uint8_t *buffer = malloc(INPUT_MAX);
	unsigned int replayed = 0;

	if (!buffer)
		return 1;
	for (int i = 1; i < argc; i++)
		replayed += replay_folder(argv[i], buffer);
	free(buffer);
	printf("%u inputs replayed\n", replayed);
	return replayed ? 0 : 1;
}
