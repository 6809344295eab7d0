/*
 * Inside of `doctor`: its checks.
 */
#ifndef ADMIN_CTL_DOCTOR_H
#define ADMIN_CTL_DOCTOR_H

#include <sys/types.h>

#include "admin/ctl.h"

enum verdict {
	DOCTOR_OK,
	DOCTOR_WARN, /* odd, or could not be told */
	DOCTOR_FAIL,
	DOCTOR_SKIPPED,
	DOCTOR_VERDICTS,
};

struct doctor {
	struct ctl *ctl;
	const char *url; /* to be fetched from outside */
	bool url_given;	 /* else its failing is only odd */
	json_t *checks;
	unsigned count[DOCTOR_VERDICTS];
	bool running; /* the daemon answers on its socket */
	pid_t pid;    /* its process */
	uid_t uid;    /* whom it runs as, or would */
	gid_t gid;
	bool uid_known;
	json_t *stats; /* the daemon's, or NULL */
};

/* One check's result: what is so, and, if that is not well, what helps; fix may
 * be NULL. */
void doctor_say(struct doctor *d, const char *name, enum verdict verdict,
    const char *fix, const char *format, ...)
    __attribute__((format(printf, 5, 6)));

/* Asks the daemon without a word about what goes wrong. False: no answer, or
 * an error. */
bool doctor_ask(struct doctor *d, const char *path, bool post, const char *key,
    const char *value, json_t **out);

/* ctl_checks.c: of the machine and the configuration. */
void doctor_check_listen(struct doctor *d);
void doctor_check_names(struct doctor *d);
void doctor_check_clock(struct doctor *d);
void doctor_check_disk(struct doctor *d);
void doctor_check_permissions(struct doctor *d);
void doctor_check_limits(struct doctor *d);

/* ctl_probe.c: through the running daemon. */
void doctor_check_cache(struct doctor *d);
void doctor_check_origin(struct doctor *d);

#endif
