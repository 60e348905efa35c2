import express from 'express';
import { requireRole, requireUser } from '@latchet/node/express';

const app = express();
app.use(requireUser({ issuer: process.env.ISSUER ?? 'http://127.0.0.1:8080' }));

app.get('/hello', (req, res) => res.json({ hello: req.user.username }));
app.delete('/notes', requireRole('admin'), (req, res) => res.json({ deletedBy: req.user.id }));

app.listen(Number(process.env.PORT ?? 3000), '127.0.0.1');
