/*
 * Dictionaries for what is small: what comes behind one is pressed as if that
 * had come before it. They are numbered from 1; the newest one is pressed with,
 * and those before it are kept for as long as a store may have what needs them.
 */
#ifndef STORAGE_DICTIONARY_H
#define STORAGE_DICTIONARY_H

#include <stdbool.h>
#include <stddef.h>

#include "larder/bytes.h"

#define DICTIONARY_NEWEST 1u

/* Each number is of one a kind. */
enum dictionary_kind {
	DICTIONARY_FRONT, /* of records: key, meta, head */
	DICTIONARY_BODY,
	DICTIONARY_KINDS,
};

/* In pieces, as it is in a file of its own. */
struct dictionary_text {
	const struct bytes *pieces;
	size_t count;
};

extern const struct dictionary_text dictionary_1[DICTIONARY_KINDS];

struct ZSTD_CDict_s;
struct ZSTD_DDict_s;

bool dictionary_exists(unsigned number);
/* Made when first asked for, and everybody's from then on, to be read only.
 * NULL: there is none of that number, or no memory. */
const struct ZSTD_CDict_s *dictionary_to_press(
    unsigned number, enum dictionary_kind kind);
const struct ZSTD_DDict_s *dictionary_to_unpress(
    unsigned number, enum dictionary_kind kind);

#endif
