#include "admin/asset.h"

/* From the folder of the source: make runs there. */
#define EMBED(name, file)                                                 \
	__asm__(".pushsection .rodata\n"                                  \
		".balign 16\n"                                            \
		"asset_" #name "_begin:\n"                                \
		".incbin \"src/admin/page/" file "\"\n"                   \
		"asset_" #name "_end:\n"                                  \
		".byte 0\n"                                               \
		".popsection\n");                                         \
	extern const char asset_##name##_begin[]                          \
	    __attribute__((visibility("hidden")));                        \
	extern const char asset_##name##_end[]                            \
	    __attribute__((visibility("hidden")));                        \
	struct bytes asset_##name(void)                                   \
	{                                                                 \
		return bytes_of(asset_##name##_begin,                     \
		    (size_t)(asset_##name##_end - asset_##name##_begin)); \
	}                                                                 \
	_Static_assert(1, "")

EMBED(html, "page.html");
EMBED(css, "page.css");
EMBED(js, "page.js");
