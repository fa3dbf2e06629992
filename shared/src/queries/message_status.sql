-- The status of a message; null: complete. `in_progress` is null for a complete message, and false for a reply that was cancelled. A reply
-- that nobody has touched for 60 seconds has lost its writer.
create function message_status(in_progress boolean, updated_at timestamptz) returns text
language sql stable parallel safe as $$
    select case
        when $1 then case when $2 > now() - interval '60 seconds' then 'in_progress' else 'incomplete' end
        when not $1 then 'cancelled'
    end
$$;

-- Whether a conversation has a reply that has lost its writer. Such a reply changes with time alone, and the
-- conversation's version stays. So a caller who has the version may still have an old status.
create function has_incomplete(conversation uuid) returns boolean
language sql stable as $$
    select exists (
        select from public.messages m
        where m.conversation_id = $1 and m.in_progress and message_status(m.in_progress, m.updated_at) = 'incomplete'
    )
$$;
