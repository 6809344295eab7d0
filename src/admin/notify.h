/*
 * What the daemon tells its supervisor: systemd's protocol (sd_notify(3),
 * sd_watchdog_enabled(3)) without its library. Without a supervisor that
 * listens, nothing happens.
 */
#ifndef ADMIN_NOTIFY_H
#define ADMIN_NOTIFY_H

#include <stdint.h>

struct notify;

/* Takes NOTIFY_SOCKET and the watchdog's variables out of the environment.
 * NULL: nobody listens; that has been said if it is a mistake. */
struct notify *notify_open(void);
void notify_close(struct notify **notify);

/* Assignments, one a line: "READY=1\nSTATUS=...". May block for a second. */
void notify_send(const struct notify *notify, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* "RELOADING=1", to be followed by a "READY=1". */
void notify_reloading(const struct notify *notify);

/* "WATCHDOG=1" is due within so many ms; 0: nobody waits for it. */
int64_t notify_watchdog_ms(const struct notify *notify);

#endif
