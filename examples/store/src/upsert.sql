INSERT INTO readings SELECT source, incarnation, sequence, place, to_timestamp(seconds), value
    FROM unnest($1::bytea[], $2::bytea[], $3::bigint[], $4::integer[], $5::double precision[], $6::double precision[])
        AS row (source, incarnation, sequence, place, seconds, value)
    ON CONFLICT (source, incarnation, sequence, place) DO UPDATE SET time = excluded.time, value = excluded.value
