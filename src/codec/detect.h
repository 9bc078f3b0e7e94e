/* codec/detect.h - what kind of data a block of bytes is, from a sample of
 * it.  A guess that costs about a microsecond: codecs must cope with being
 * given something else.  Any thread. */
#ifndef NQ_CODEC_DETECT_H
#define NQ_CODEC_DETECT_H

#include <stddef.h>

enum data_class {
    DATA_DENSE,   /* no codec here will shrink it: random, or compressed */
    DATA_TEXT,    /* text, JSON, logs */
    DATA_NUMBERS, /* numbers in decimal, and what separates them; or an array
                     of integers */
    DATA_BASES,   /* nucleotides, with or without headers and qualities */
    DATA_BINARY,  /* everything else */
    DATA_CLASSES
};

enum data_class detect_class(const void *src, size_t len);
/* "dense", "text", ...: for people. */
const char *detect_class_name(enum data_class class);

#endif
