/* SPDX-License-Identifier: MIT */
/*
 * Intrusive doubly linked lists: the link lies in the object, the head is a link too.
 */
#ifndef FORKVM_FORKSERVER_BASE_LIST_H
#define FORKVM_FORKSERVER_BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct list {
	struct list *next;
	struct list *prev;
};

/* The object that holds a link. */
#define list_entry(link, type, member) ((type *)(void *)((char *)(link)-offsetof(type, member)))

/* Make an empty head, or a link that is on no list. */
static inline void list_init(struct list *link)
{
	link->next = link;
	link->prev = link;
}

/* Is the head empty; is the link on no list? */
static inline bool list_empty(const struct list *link)
{
	return link->next == link;
}

/* Add a link that is on no list before the head: at the tail. */
static inline void list_append(struct list *head, struct list *link)
{
	link->prev = head->prev;
	link->next = head;
	head->prev->next = link;
	head->prev = link;
}

/* Take the link off its list; fine when it is on none. */
static inline void list_remove(struct list *link)
{
	link->prev->next = link->next;
	link->next->prev = link->prev;
	list_init(link);
}

#endif
