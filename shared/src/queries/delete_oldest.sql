-- Deletes the oldest messages, `most` of them, of a conversation that is erased already. Returns how many these were. The caller has locked the
-- conversation's row in `erased_conversations`.
create function delete_oldest(conversation uuid, most bigint) returns bigint
language plpgsql as $$
#variable_conflict use_variable
declare
    deleted bigint;
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
    update public.erased_conversations e set messages = e.messages - deleted where e.id = conversation;
    return deleted;
end
$$;
