/*
 * How other threads reach a loop: they post notes, embedded in who waits, and
 * the loop calls each note's function once per batch of posts.
 *
 * Lock order: the mailbox's lock is the innermost; nothing is called under it.
 */
#ifndef NET_MAILBOX_H
#define NET_MAILBOX_H

#include <stdbool.h>

#include "larder/list.h"

struct loop;
struct mailbox;

struct mailbox_note {
	struct list node; /* under the mailbox's lock */
	struct mailbox *box;
	bool posted; /* under the mailbox's lock */
	void (*fn)(void *arg);
	void *arg;
};

int mailbox_new(struct mailbox **out, struct loop *loop);
void mailbox_free(struct mailbox **box);

void mailbox_note_init(struct mailbox_note *note, struct mailbox *box,
    void (*fn)(void *arg), void *arg);

/* From any thread; a note that is already posted is not posted again. fn runs
 * in the loop's thread. Fit to be a store_wake_fn: takes a mailbox_note. */
void mailbox_post(void *note);

/* From the loop's thread: a posted note is taken back. The caller has seen to
 * it that nobody posts it any more before it frees the note. */
void mailbox_cancel(struct mailbox_note *note);

#endif
