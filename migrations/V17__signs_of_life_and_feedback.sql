-- Signs of life of replies that are still being written, and what readers think of messages. Both are null for almost all messages, and take no
-- room then.
--
-- A reply that nobody has touched for 60 s has lost its writer. A silent writer says from time to time that it is there. That changes
-- nothing that a reader sees, so it moves neither `updated_at` nor the conversation's version. Feedback moves `updated_at`, and says nothing
-- about the writer. So this is when an unfinished reply was touched last, where that is not `updated_at`.
alter table messages add column alive_at timestamptz;

-- What the conversation's user thinks of the message: a rating and a comment.
alter table messages add column feedback json;
