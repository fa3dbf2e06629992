-- Deletes the oldest messages, `most` of them, of a conversation that is erased already. The kept ones come last. Returns how many these were. The caller has locked the
-- conversation's row in `erased_conversations`.
create function delete_oldest(conversation uuid, most bigint) returns bigint
language plpgsql set enable_seqscan = off as $$
#variable_conflict use_variable
declare
    deleted bigint;
    kept bigint := 0;
begin
    delete from public.messages m
    where m.conversation_id = conversation
        and m.position <= (
            select max(oldest.position)
            from (
                select o.position from public.messages o where o.conversation_id = conversation order by o.position limit most
            ) oldest
        );
    get diagnostics deleted = row_count;
    if deleted < most then
        delete from public.kept_messages k
        where k.conversation_id = conversation
            and k.position <= (
                select max(oldest.position)
                from (
                    select o.position from public.kept_messages o
                    where o.conversation_id = conversation
                    order by o.position limit most - deleted
                ) oldest
            );
        get diagnostics kept = row_count;
    end if;
    update public.erased_conversations e set messages = e.messages - deleted - kept where e.id = conversation;
    return deleted + kept;
end
$$;

-- Deletes all messages of these conversations, kept ones included. Returns how many these were.
create function delete_all(conversations uuid[]) returns bigint
language plpgsql set enable_seqscan = off as $$
#variable_conflict use_variable
declare
    deleted bigint;
    kept bigint;
begin
    delete from public.messages m where m.conversation_id = any (conversations);
    get diagnostics deleted = row_count;
    delete from public.kept_messages k where k.conversation_id = any (conversations);
    get diagnostics kept = row_count;
    return deleted + kept;
end
$$;
