/* server/info_compression.c - INFO about what packing blocks for the disk came
 * to, since the start or since CONFIG RESETSTAT. */
#include "server/info_int.h"

#include "codec/bases.h"
#include "codec/zpack.h"
#include "store/store.h"

/* What it came to, of 1: nothing packed yet is 1. */
static double
ratio(const struct pack_count *c)
{
    return c->bytes_in == 0 ? 1 : (double)c->bytes_out / (double)c->bytes_in;
}

/* "codec_zstd:blocks=5,tried=6,bytes_in=40960,bytes_out=9000,ratio=0.2197" */
static void
put_codecs(const struct pack_stats *st, struct pack_count *sum, struct buf *out)
{
    for (unsigned i = 0; i < PACK_CODECS; i++) {
        const struct pack_count *c = &st->codec[i];

        sum->blocks += c->blocks;
        sum->bytes_in += c->bytes_in;
        sum->bytes_out += c->bytes_out;
        buf_printf(out,
                   "codec_%s:blocks=%llu,tried=%llu,bytes_in=%llu,"
                   "bytes_out=%llu,ratio=%.4f\r\n",
                   pack_stats_name(i), (unsigned long long)c->blocks,
                   (unsigned long long)st->tried[i],
                   (unsigned long long)c->bytes_in,
                   (unsigned long long)c->bytes_out, ratio(c));
    }
}

static void
put_classes(const struct pack_stats *st, struct buf *out)
{
    for (unsigned i = 0; i < DATA_CLASSES; i++) {
        const struct pack_count *c = &st->class[i];

        buf_printf(out,
                   "class_%s:blocks=%llu,bytes_in=%llu,bytes_out=%llu,"
                   "ratio=%.4f\r\n",
                   detect_class_name((enum data_class)i),
                   (unsigned long long)c->blocks,
                   (unsigned long long)c->bytes_in,
                   (unsigned long long)c->bytes_out, ratio(c));
    }
}

static void
put_dictionaries(const struct store *st, struct buf *out)
{
    struct store_dict_stats d;

    store_get_dict_stats(st, &d);
    info_u64(out, "dictionaries_used", d.used);
    info_u64(out, "dictionaries_retired", d.retired);
    info_u64(out, "dictionaries_lost", d.lost);
    info_u64(out, "dictionaries_trained", d.trained);
    info_u64(out, "dictionaries_rejected", d.rejected);
    info_bytes(out, "dictionaries_bytes", d.bytes);
    info_u64(out, "dictionaries_blocks_packed", d.packed);
    info_u64(out, "dictionaries_blocks_unpacked", d.unpacked);
    info_bytes(out, "compression_memory", d.memory + zpack_memory());
}

void
info_compression(struct server *s, struct buf *out)
{
    struct pack_count sum = {0};
    struct pack_stats st;
    struct pack_opts o;

    store_get_pack(s->store, &o, &st);
    info_u64(out, "compression_enabled", o.enabled);
    info_u64(out, "compression_level", o.level);
    info_text(out, "simd", bases_variant_name(bases_variant()));
    put_codecs(&st, &sum, out);
    put_classes(&st, out);
    info_u64(out, "blocks", sum.blocks);
    info_u64(out, "bytes_in", sum.bytes_in);
    info_u64(out, "bytes_out", sum.bytes_out);
    buf_printf(out, "ratio:%.4f\r\n", ratio(&sum));
    info_u64(out, "compression_us", st.pack_us);
    put_dictionaries(s->store, out);
}
