/*
 * The daemon's life: everything opened, the main loop with its signals, and
 * everything closed again.
 */
#ifndef ADMIN_DAEMON_H
#define ADMIN_DAEMON_H

#include "conf/conf.h"

/*
 * Runs until it is told to stop, and returns larderd's exit status; takes the
 * reference on conf. Has said what went wrong.
 */
int daemon_run(struct conf **conf);

#endif
