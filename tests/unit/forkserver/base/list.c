/* SPDX-License-Identifier: MIT */
/* Unit tests of forkserver/base/list.h. */
#include "forkserver/base/list.h"

#include <criterion/criterion.h>

struct thing {
	int number;
	struct list link;
};

Test(list, in_the_order_they_were_put)
{
	struct thing things[3] = {{.number = 0}, {.number = 1}, {.number = 2}};
	struct list head;
	int at = 0;

	list_init(&head);
	cr_assert(list_empty(&head));
	for (int i = 0; i < 3; i++)
		list_append(&head, &things[i].link);
	cr_assert_not(list_empty(&head));
	for (struct list *link = head.next; link != &head; link = link->next)
		cr_assert_eq(list_entry(link, struct thing, link)->number, at++);
	cr_assert_eq(at, 3);
}

Test(list, removing_leaves_the_others)
{
	struct thing things[3] = {{.number = 0}, {.number = 1}, {.number = 2}};
	struct list head;

	list_init(&head);
	for (int i = 0; i < 3; i++)
		list_append(&head, &things[i].link);
	list_remove(&things[1].link);
	cr_assert(list_empty(&things[1].link));
	list_remove(&things[1].link); /* once more is fine */
	cr_assert_eq(head.next, &things[0].link);
	cr_assert_eq(head.next->next, &things[2].link);
	cr_assert_eq(head.prev, &things[2].link);
	list_remove(&things[0].link);
	list_remove(&things[2].link);
	cr_assert(list_empty(&head));
}
