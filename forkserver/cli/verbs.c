/* SPDX-License-Identifier: MIT */
/*
 * The table of verbs, and the two that need nothing else: help and version.
 */
#include <stdio.h>

#include "forkserver/cli/cli.h"
#include "forkvm_version.h"

#define TARGET_USAGE                                                          \
	"  --name NAME      the server of that name (default: \"default\")\n" \
	"  --socket PATH    the server at that socket\n"                      \
	"  --json           print JSON\n"

const struct verb cli_verbs[] = {
	{"serve", cmd_serve, "boot a template and serve clones of it",
	 "usage: forkvm serve --stub PATH [option...]\n"
	 "       forkvm serve --kernel PATH [option...]\n"
	 "\n"
	 "The template, a stub or a Linux guest:\n"
	 "  --stub PATH          image of the guest: a static x86-64 ELF, or a flat binary\n"
	 "  --args TEXT          boot arguments for the stub\n"
	 "  --kernel PATH        a Linux kernel: bzImage, or vmlinux with a PVH entry\n"
	 "  --initrd PATH        its initial RAM disk\n"
	 "  --cmdline TEXT       its command line (default: a console on the serial port)\n"
	 "  --serial DEST        its serial port: log (default), none, stdio, fd:N, or a file\n"
	 "  --template-on TEXT   freeze it when this text appears on its serial port\n"
	 "  --rng, --no-rng      with or without a virtio entropy device (Linux: with)\n"
	 "\n"
	 "  --mem SIZE           RAM; MiB, or with a suffix B, K, M, G (default 128)\n"
	 "  --cpus N             vCPUs (default 1)\n"
	 "  --mem-path FILE      keep RAM in this file instead of anonymous memory\n"
	 "  --slots WHICH        memory registered before a clone runs: auto, all, populated\n"
	 "  --irqchip            in-kernel interrupt controllers, even if not asked for\n"
	 "  --cpuid              the host's whole CPUID table, even if not asked for\n"
	 "  --boot-timeout TIME  for reaching the template point (default: stubs 30s,\n"
	 "                       Linux 120s; 0: none)\n"
	 "  --freeze-after TIME  freeze it then, wherever it is (default 0: where it says so)\n"
	 "  --device PATH        the KVM device (default /dev/kvm)\n"
	 "\n"
	 "Its disks:\n"
	 "  --disk FILE[,ro][,format=raw|qcow2][,durable][,direct=on|off][,serial=TEXT]\n"
	 "                       a disk; up to 4 times. none: an empty slot, for a clone's file\n"
	 "  --overlay WHERE      where writes go: memory (default), or a folder\n"
	 "  --overlay-limit SIZE what a clone may write (default: as much as it likes)\n"
	 "  --no-io-uring        do without io_uring\n"
	 "\n"
	 "The service:\n"
	 "  --name NAME          socket at $XDG_RUNTIME_DIR/forkvm-NAME.sock, or in /run\n"
	 "  --socket PATH        socket at PATH\n"
	 "  --allow-uid UID      let this user connect, too (up to 16 times)\n"
	 "  --max-connections N  (default 1024)\n"
	 "  --no-anchor          do without the process that keeps KVM switched on\n"
	 "  --working-set auto|on|off   copy pages that clones are known to write beforehand\n"
	 "  --cpu-latency US     while clients ask, idle CPUs wake up in at most US microseconds\n"
	 "                       (0: they poll; needs /dev/cpu_dma_latency)\n"
	 "  --ready-fd N         write \"ready\" to descriptor N when serving\n"
	 "  --log-level LEVEL    error, warning, info (default) or debug\n"
	 "  --log-json           log JSON objects\n"
	 "\n"
	 "The clones:\n"
	 "  --max-clones N       alive at once (default: what open files allow)\n"
	 "  --clone-timeout TIME default and maximum of a clone's time (default 0: none)\n"
	 "  --clone-memory SIZE  private memory of a clone, sampled (default: no limit)\n"
	 "  --keep-clones        clones outlive the server\n"
	 "  --sleep-after TIME   a session that waits so long for its next request gives its\n"
	 "                       VM's memory back until that comes (default 0: none does)\n"
	 "\n"
	 "Clones made ahead, which wait for their requests:\n"
	 "  --spares LOW[:HIGH]  keep LOW, and up to HIGH as they are claimed (default 0)\n"
	 "  --spare-age TIME     replace one that is older (default 0: none is)\n"
	 "  --spare-memory SIZE  private memory of all of them, sampled (default: no limit)\n"
	 "  --spare-rate N       make at most N a second (default: no limit)\n"
	 "  --spare-cpus WHICH   make them on these CPUs: a list, any, or auto (default: every "
	 "second\n"
	 "                       core, any with --reset; the server keeps to the others)\n"
	 "  --reset              put spares that have served back, for the same tenant again\n"
	 "  --reset-max N        so many times at most (default 1000)\n"
	 "  --reset-check        compare each with the template then (slow)\n"},
	{"clone", cmd_clone, "make clones and print their answers",
	 "usage: forkvm clone [option...]\n"
	 "\n"
	 "  --count N            clones to make (default 1)\n"
	 "  --request TEXT       what the guest is asked\n"
	 "  --request-file FILE  the same from a file (-: standard input), at most 64 KiB\n"
	 "  --lines FILE         instead: a clone for each line of the file, which it is asked\n"
	 "  --timeout TIME       end a clone after this time: 5 (s), 250ms, 10m\n"
	 "  --detach             do not wait; clones live on\n"
	 "  --spare WHICH        may it be one that was made ahead: any (default), never, only, "
	 "wait\n"
	 "  --tenant NAME        whose it is: spares are reset for the same tenant only\n"
	 "  --disk N=FILE[,ro|,rw]\n"
	 "                       a file for the empty disk slot N, copied on write; ro: not to be\n"
	 "                       written; rw: writes go to the file\n"
	 "  --console            copy the guests' consoles to standard error\n"
	 "  --console-file FILE  append them to a file; -: this terminal is the console of one\n"
	 "                       clone, input too, until it ends or Ctrl-] is "
	 "typed\n" TARGET_USAGE},
	{"list", cmd_list, "list the live clones",
	 "usage: forkvm list [option...]\n\n" TARGET_USAGE},
	{"inspect", cmd_inspect, "tell about the server and its template, or about a clone",
	 "usage: forkvm inspect [option...] [ID]\n\n" TARGET_USAGE},
	{"kill", cmd_kill, "end clones",
	 "usage: forkvm kill [option...] ID...\n"
	 "       forkvm kill [option...] --all\n\n" TARGET_USAGE},
	{"disk", cmd_disk, "write a disk to a file: a clone's, or what a durable one left",
	 "usage: forkvm disk export [option...] ID[:DISK] FILE\n"
	 "       forkvm disk commit [option...] OVERLAY FILE\n"
	 "       forkvm disk info [option...] FILE\n"
	 "\n"
	 "  export               what a live clone has on its disk (default: disk 0), as a raw\n"
	 "                       image; the clone stands still meanwhile\n"
	 "  commit               the same of an overlay that a durable disk has left\n"
	 "  info                 what a file is\n"
	 "\n"
	 "  --timeout TIME       the clone stands still for this time at most (default "
	 "60s)\n" TARGET_USAGE},
	{"freeze", cmd_freeze, "freeze a template that is still booting, wherever it is",
	 "usage: forkvm freeze [option...]\n"
	 "\n"
	 "  --timeout TIME       wait for it no longer than this (default 0: as long as it "
	 "takes)\n" TARGET_USAGE},
	{"stats", cmd_stats, "print what the server has counted",
	 "usage: forkvm stats [option...]\n\n" TARGET_USAGE},
	{"stop", cmd_stop, "stop the server, and with it its clones",
	 "usage: forkvm stop [option...]\n\n" TARGET_USAGE},
	{"version", cmd_version, "print the version", "usage: forkvm version [--json]\n"},
	{"help", cmd_help, "print help on a verb", "usage: forkvm help [VERB]\n"},
	{0},
};

int cmd_version(int argc, char **argv)
{
	struct cli_target target = {0};
	int status;

	if (!cli_parse_target(argc, argv, &target, &status))
		return status;
	if (optind < argc)
		return cli_misused("\"%.40s\" is one word too many", argv[optind]);
	if (target.json)
		printf("{\"forkvm\":\"%s\",\"protocol\":%d}\n", FORKVM_VERSION,
		       FORKVM_PROTOCOL_VERSION);
	else
		printf("forkvm %s (protocol %d)\n", FORKVM_VERSION, FORKVM_PROTOCOL_VERSION);
	return cli_flush();
}

int cmd_help(int argc, char **argv)
{
	const struct verb *verb = argc > 1 ? cli_find_verb(argv[1]) : NULL;

	if (argc > 2)
		return cli_misused("\"%.40s\" is one word too many", argv[2]);
	if (verb) {
		fputs(verb->usage, stdout);
		return cli_flush();
	}
	if (argc > 1)
		return cli_misused("\"%.40s\" is not a verb of forkvm", argv[1]);
	printf("usage: forkvm VERB [option...]\n\n");
	for (verb = cli_verbs; verb->name; verb++)
		printf("  %-8s %s\n", verb->name, verb->summary);
	printf("\n\"forkvm help VERB\" tells the options of a verb.\n");
	return cli_flush();
}
