-- How many tokens a message has, as the caller counted them with the model's own tokenizer or read them in its reply. Nobody has counted
-- the messages that are here already.

alter table messages add column token_count integer;
