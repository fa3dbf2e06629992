-- The status of a message; null: complete. `in_progress` is null for a complete message, and false for a reply that was cancelled. A reply
-- that nobody has touched for 60 seconds has lost its writer. `alive_at` is when it was touched last, where that is not `updated_at`.
create function message_status(in_progress boolean, alive_at timestamptz, updated_at timestamptz) returns text
language sql stable parallel safe as $$
    select case
        when $1 then case when coalesce($2, $3) > now() - interval '60 seconds' then 'in_progress' else 'incomplete' end
        when not $1 then 'cancelled'
    end
$$;

-- Says which replies of a conversation have lost their writers: 0 if none has, else a hash. Such a reply changes with time alone, and the
-- conversation's version stays. The hash of several is the XOR of each one's.
create function abandoned(conversation uuid) returns bigint
language sql stable as $$
    select coalesce(bit_xor(hashint8extended(m.position, 0)), 0)
    from public.messages m
    where m.conversation_id = $1 and m.in_progress
        and message_status(m.in_progress, m.alive_at, m.updated_at) = 'incomplete'
$$;

-- Says which kept replies have lost their writers, as `abandoned` says it of the line. `path`: the positions of those that count; null: all.
create function abandoned_kept(conversation uuid, path bigint[]) returns bigint
language sql stable set enable_seqscan = off as $$
    select coalesce(bit_xor(hashint8extended(lost.position, 0)), 0)
    from (
        select k.position, message_status(k.in_progress, k.alive_at, k.updated_at) as status
        from public.kept_messages k
        where $2 is null and k.conversation_id = $1 and k.in_progress
        union all
        select k.position, message_status(k.in_progress, k.alive_at, k.updated_at)
        from unnest($2) as wanted (position)
            cross join lateral (
                select one.* from public.kept_messages one where one.conversation_id = $1 and one.position = wanted.position limit 1
            ) k
        where k.in_progress
    ) lost
    where lost.status = 'incomplete'
$$;

-- An ETag without its quotes: a conversation's version, and which replies of what is shown have lost their writers.
create function etag(version bigint, abandoned bigint) returns text
language sql immutable parallel safe as $$
    select $1::text || case when $2 = 0 then '' else '-' || to_hex($2) end
$$;
