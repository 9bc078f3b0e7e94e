/* server/info_quantum.c - INFO about searches of NQ.GROVER and its kin, since
 * the start or since CONFIG RESETSTAT. */
#include "server/info_int.h"

#include "cmd/grover.h"
#include "quantum/amplitudes.h"

void
info_quantum(struct server *s, struct buf *out)
{
    const struct grover *g = s->engine->grover;
    const struct grover_stats *st = &g->stats;

    info_text(out, "quantum_simd",
              amplitudes_variant_name(amplitudes_variant()));
    info_u64(out, "quantum_active", g->active);
    info_u64(out, "quantum_memory", g->bytes);
    info_u64(out, "quantum_memory_peak", g->bytes_peak);
    info_u64(out, "quantum_memory_limit", g->limits.all_bytes);
    info_u64(out, "grover_simulated", st->simulated);
    info_u64(out, "grover_classical", st->classical);
    info_u64(out, "grover_fallbacks", st->fell_back);
    info_u64(out, "grover_refused", st->refused);
    info_u64(out, "grover_cancelled", st->cancelled);
    info_u64(out, "grover_runs", st->runs);
    info_u64(out, "grover_oracle_calls", st->calls);
    info_u64(out, "grover_rejected_keys", st->rejected);
    info_u64(out, "grover_simulation_us", st->simulation_us);
    info_u64(out, "grover_scan_us", st->scan_us);
}
