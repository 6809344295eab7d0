/*
 * Configurations of any bytes: each is taken or told what is wrong with it, and
 * what is taken, printed and read again, prints the same.
 */
#include <stdlib.h>
#include <string.h>

#include "conf/errors.h"
#include "conf/option.h"
#include "conf/parse.h"
#include "conf/scan.h"
#include "larder/check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

/* The printed configuration, or NULL if it is wrong. Takes text. */
static char *
round_trip(char *text, size_t n)
{
	struct conf_errors errors = {0};
	struct scan_fault fault;
	struct conf *conf;
	int lines[64];
	char *out = NULL;
	size_t size;

	check(conf_options_count <= sizeof(lines) / sizeof(lines[0]));
	check(conf_new(&conf) == 0);
	if (scan_prepare(text, n, &fault) == 0) {
		struct scan_include found;
		const char *at = text;
		int rc;

		while (scan_include(at, &found) && found.wrong == NULL) {
			check(found.from >= at && found.to > found.from &&
			      found.to <= text + n && found.name[0] != '\0');
			at = found.to;
		}
		rc = parse_text(text, &errors, lines, conf);

		/* It says so, and it says what. */
		check((rc == 0) == (errors.count == 0));
		if (rc == 0) {
			FILE *stream = open_memstream(&out, &size);

			conf_print(conf, stream);
			fclose(stream);
		}
	}
	free(errors_text(&errors, "f"));
	errors_release(&errors);
	conf_unref(&conf);
	free(text);
	return out;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	char *text = malloc(n + 1), *once, *twice;

	memcpy(text, data, n);
	text[n] = '\0';
	once = round_trip(text, n);
	if (once == NULL)
		return 0;
	twice = round_trip(strdup(once), strlen(once));
	check(twice != NULL && strcmp(once, twice) == 0);
	free(once);
	free(twice);
	return 0;
}
