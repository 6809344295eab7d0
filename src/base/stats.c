#include "larder/stats.h"

#include "larder/check.h"

const char *
stats_name(enum stats_counter which)
{
#define STATS_NAME(name, text) #name,
	static const char *const names[] = {STATS_EACH(STATS_NAME)};
#undef STATS_NAME

	check((size_t)which < STAT_COUNT);
	return names[which];
}

const char *
stats_text(enum stats_counter which)
{
#define STATS_TEXT(name, text) text,
	static const char *const texts[] = {STATS_EACH(STATS_TEXT)};
#undef STATS_TEXT

	check((size_t)which < STAT_COUNT);
	return texts[which];
}
