/*
 * Sizes and times as people write them. Pure. (Parsing is in conf.h.)
 */
#ifndef CONF_VALUES_H
#define CONF_VALUES_H

#include <stddef.h>
#include <stdint.h>

#define CONF_VALUE_TEXT 32

/* Exact: conf_parse_size() and conf_parse_time() read the same back. */
const char *conf_format_size(uint64_t bytes, char out[CONF_VALUE_TEXT]);
const char *conf_format_time(int64_t ms, char out[CONF_VALUE_TEXT]);

#endif
